/** The server is killed twice under load: what was said to be published, is delivered. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createEvent, secureRandom, systemClock, type AgentEvent, type Transport } from "cadre";
import { rabbitmq } from "cadre/rabbitmq";
import { rabbitmqServerPath, startRabbitmqServer } from "../servers/rabbitmq-server.ts";

const skip = rabbitmqServerPath() === undefined ? "there is no rabbitmq-server here" : false;
const publishers = 100;
const total = 10_000;
const boundMs = 240_000;

const spec = {
  subscription: "survivors",
  mode: "group",
  patterns: ["kill.#"],
  definition: "kill.#",
  from: "new",
  leaseMs: 10_000,
  maxQueued: 1_000,
} as const;

async function consume(
  transport: Transport,
  seen: Map<string, number>,
  done: AbortSignal,
): Promise<void> {
  const intake = await transport.open(spec);
  while (!done.aborted) {
    // The server may be away for longer than a request waits: asked again.
    const leases = await intake.pull(50, done).catch(() => []);
    await Promise.all(
      leases.map(async (lease) => {
        const { id } = lease.recorded.event!;
        seen.set(id, (seen.get(id) ?? 0) + 1);
        // An answer that the broken connection has swallowed: the event comes again.
        await lease.settle({ kind: "ack" }).catch(() => {});
      }),
    );
  }
  await intake.close();
}

test(
  "10,000 events of 100 publishers outlive a SIGKILL at a third and one at the half",
  { skip, timeout: boundMs },
  async (context) => {
    await using server = await startRabbitmqServer();
    const open = (): Transport => rabbitmq(server.url);
    const done = new AbortController();
    const seen = new Map<string, number>();
    const members = [open(), open()];
    for (const member of members) await (await member.open(spec)).close();
    const consuming = members.map((member) => consume(member, seen, done.signal));

    const resolved = new Set<string>();
    let [refusals, left] = [0, total];
    const kills: Promise<void>[] = [];
    const killAt = [Math.floor(total / 3), total / 2];
    const kill = async (): Promise<void> => {
      await kills.at(-1);
      await server.kill();
      await server.restart();
    };
    const carriers = Array.from({ length: 5 }, open);
    const publish = async (publisher: number): Promise<void> => {
      const transport = carriers[publisher % carriers.length]!;
      while (left > 0) {
        left -= 1;
        const made = { clock: systemClock, random: secureRandom, source: `publisher-${publisher}` };
        const event: AgentEvent = createEvent(made, "kill.counted", { publisher });
        // Again under its id until it is taken, as the relay does.
        for (let isTaken = false; !isTaken;) {
          const [result] = await transport.publish([{ event }]);
          isTaken = result!.ok;
          if (!isTaken) refusals += 1;
          if (!isTaken) await systemClock.sleep(20);
        }
        resolved.add(event.id);
        if (killAt.length > 0 && resolved.size >= killAt[0]!) {
          killAt.shift();
          kills.push(kill());
        }
      }
    };
    await Promise.all(Array.from({ length: publishers }, (_, index) => publish(index)));
    await Promise.all(kills);
    assert.equal(resolved.size, total);
    assert.equal(kills.length, 2);

    const end = systemClock.monotonic() + 60_000;
    const missing = (): string[] => [...resolved].filter((id) => !seen.has(id));
    while (missing().length > 0 && systemClock.monotonic() < end) await systemClock.sleep(50);
    assert.deepEqual(missing(), [], `${missing().length} events are lost`);
    assert.equal(seen.size, resolved.size, "nothing comes that nobody published");
    const doubled = [...seen.values()].filter((count) => count > 1).length;
    context.diagnostic(`resolved ${total}, refused ${refusals}, doubled ${doubled}, lost 0`);
    done.abort();
    await Promise.all(consuming);
    await Promise.all([...members, ...carriers].map((transport) => transport.close()));
  },
);
