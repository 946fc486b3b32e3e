/** The server is killed in the middle of the work: what was said to be published, is delivered. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createEvent, secureRandom, systemClock, type AgentEvent, type Transport } from "cadre";
import { nats } from "cadre/nats";
import { natsServerPath, startNatsServer } from "../../servers/nats-server.ts";

const skip = natsServerPath() === undefined ? "there is no nats-server here" : false;
const timeout = 90_000;
const publishers = 4;
const eventsEach = 500;
const leaseMs = 1_000;

function makeEvent(publisher: number, n: number): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source: `publisher-${publisher}` };
  return createEvent(context, "restart.counted", { publisher, n });
}

const spec = {
  subscription: "survivors",
  mode: "group",
  patterns: ["restart.#"],
  definition: "restart.#",
  from: "new",
  leaseMs,
  maxQueued: 1_000,
} as const;

/** Handles events until `done`, and counts how often each was handed out. */
async function consume(
  transport: Transport,
  seen: Map<string, number>,
  done: AbortSignal,
): Promise<void> {
  const intake = await transport.open(spec);
  while (!done.aborted) {
    const leases = await intake.pull(20, done);
    for (const lease of leases) {
      const { id } = lease.recorded.event!;
      seen.set(id, (seen.get(id) ?? 0) + 1);
      // An answer that the broken connection has swallowed: the event comes again.
      await lease.settle({ kind: "ack" }).catch(() => {});
    }
  }
  await intake.close();
}

test(
  "every publish that resolved before, while or after the server was killed is delivered",
  { skip, timeout },
  async () => {
    await using server = await startNatsServer();
    const open = (): Transport => nats(server.url, { requestTimeoutMs: 2_000 });
    const done = new AbortController();
    const seen = new Map<string, number>();
    const members = [open(), open()];
    await Promise.all(members.map(async (member) => (await member.open(spec)).close()));
    const consuming = members.map((member) => consume(member, seen, done.signal));

    const resolved = new Set<string>();
    let refusals = 0;
    let midway: Promise<void> | undefined;
    const killAndRestart = async (): Promise<void> => {
      await server.kill();
      await systemClock.sleep(200);
      await server.restart();
    };
    const publish = async (publisher: number): Promise<void> => {
      const transport = open();
      for (let n = 0; n < eventsEach; n += 1) {
        const event = makeEvent(publisher, n);
        // Again under its id until it is taken, as the relay does.
        for (let isTaken = false; !isTaken;) {
          const [result] = await transport.publish([{ event }]);
          isTaken = result!.ok;
          if (result!.ok) resolved.add(event.id);
          else {
            refusals += 1;
            assert.match(String(result!.error), /CadreError/);
          }
        }
        if (resolved.size >= (publishers * eventsEach) / 2) midway ??= killAndRestart();
      }
      await transport.close();
    };
    await Promise.all(Array.from({ length: publishers }, (_, index) => publish(index)));
    await midway;
    assert.equal(resolved.size, publishers * eventsEach);

    const end = systemClock.monotonic() + 20_000;
    while ([...resolved].some((id) => !seen.has(id)) && systemClock.monotonic() < end) {
      await systemClock.sleep(20);
    }
    const missing = [...resolved].filter((id) => !seen.has(id));
    assert.deepEqual(missing, [], `${missing.length} events are lost, ${refusals} refusals`);
    assert.equal(seen.size, resolved.size, "nothing comes that nobody published");
    done.abort();
    await Promise.all(consuming);
    await Promise.all(members.map((member) => member.close()));
  },
);

test(
  "a publish while the server is down is refused with a typed error",
  { skip, timeout },
  async () => {
    await using server = await startNatsServer();
    const transport = nats(server.url, { requestTimeoutMs: 300 });
    const [before] = await transport.publish([{ event: makeEvent(0, 0) }]);
    assert.equal(before!.ok, true);
    await server.kill();
    const [during] = await transport.publish([{ event: makeEvent(0, 1) }]);
    assert.equal(during!.ok, false);
    assert.match(
      String(!during!.ok && (during!.error as { code?: unknown }).code),
      /^(?:UNREACHABLE|TIMEOUT)$/,
    );
    assert.equal((await transport.health!()).ok, false);
    await transport.close();
  },
);

test("a broadcast goes on after a restart without a gap", { skip, timeout }, async () => {
  await using server = await startNatsServer();
  const listener = nats(server.url);
  const broadcast = { ...spec, subscription: "news", mode: "broadcast" } as const;
  const intake = await listener.open(broadcast);
  const events = Array.from({ length: 40 }, (_, n) => makeEvent(0, n));
  const publisher = nats(server.url);
  const send = async (part: readonly AgentEvent[]): Promise<void> => {
    for (const event of part) {
      for (let isTaken = false; !isTaken;)
        [{ ok: isTaken }] = (await publisher.publish([{ event }])) as [{ ok: boolean }];
    }
  };
  await send(events.slice(0, 20));
  await server.restart();
  await send(events.slice(20));
  const heard: string[] = [];
  const limit = AbortSignal.timeout(20_000);
  while (heard.length < events.length && !limit.aborted) {
    for (const lease of await intake.pull(7, limit)) heard.push(lease.recorded.event!.id);
  }
  assert.deepEqual(
    heard,
    events.map(({ id }) => id),
  );
  await listener.close();
  await publisher.close();
});

test(
  "an address where nobody listens is refused in time, saying what was tried",
  { skip, timeout },
  async () => {
    const server = await startNatsServer();
    const { url } = server;
    await server.stop();
    const transport = nats(url, { connectTimeoutMs: 400 });
    await assert.rejects(
      transport.open(spec),
      (error: Error & { code?: string; details?: object }) => {
        assert.equal(error.code, "UNREACHABLE");
        assert.ok(error.message.includes(url));
        assert.ok((error.details as { tried: number }).tried >= 2);
        return true;
      },
    );
    const health = await transport.health!();
    assert.equal(health.ok, false);
    await transport.close();
  },
);
