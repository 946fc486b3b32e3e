/** Three servers as one: streams with copies, one of the servers killed in the middle of the work. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createEvent, isCadreError, secureRandom, systemClock } from "cadre";
import type { AgentEvent, Transport } from "cadre";
import { nats } from "cadre/nats";
import { natsServerPath, startNatsServer, type NatsServer } from "../../servers/nats-server.ts";
import { freePort } from "../../servers/temporary.ts";

const skip = natsServerPath() === undefined ? "there is no nats-server here" : false;
const servers: NatsServer[] = [];
after(() => Promise.all(servers.map((server) => server.stop())));

async function startCluster(): Promise<readonly NatsServer[]> {
  const ports = await Promise.all([freePort(), freePort(), freePort()]);
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`);
  const starting = routes.map((route, at) =>
    startNatsServer([
      ...["--cluster_name", "team", "--server_name", `server-${at}`],
      ...["--cluster", route, "--routes", routes.join(",")],
    ]),
  );
  servers.push(...(await Promise.all(starting)));
  return servers;
}

const spec = {
  subscription: "survivors",
  mode: "group",
  patterns: ["cluster.#"],
  definition: "cluster.#",
  from: "new",
  leaseMs: 5_000,
  maxQueued: 1_000,
} as const;

function makeEvent(n: number): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source: "test" };
  return createEvent(context, "cluster.counted", { n });
}

/** Again under its id until it is taken, as the relay does. */
async function publish(transport: Transport, event: AgentEvent, end: AbortSignal): Promise<void> {
  while (!end.aborted) {
    const [result] = await transport.publish([{ event }]);
    if (result!.ok) return;
    await systemClock.sleep(50);
  }
}

/** Again until it is kept, as the bus does: its stream may be without a leader for a moment. */
async function putLetter(transport: Transport, end: AbortSignal): Promise<void> {
  const error = { name: "Error", message: "kept by two" };
  const times = { firstFailedAt: 1, lastFailedAt: 1 };
  const place = { id: "survivors/1", group: "survivors", position: "0" };
  const letter = { ...place, ...times, reason: "terminal", error, attempts: 1 } as const;
  for (;;) {
    try {
      return await transport.deadLetters!.put(letter);
    } catch (cause) {
      if (end.aborted || !isCadreError(cause, "UNREACHABLE")) throw cause;
      await systemClock.sleep(100);
    }
  }
}

test(
  "the bus goes on, without a loss, when the server that it talks to is killed",
  { skip, timeout: 120_000 },
  async (context) => {
    const [first, ...others] = await startCluster();
    const options = { replicas: 3, requestTimeoutMs: 20_000, connection: { noRandomize: true } };
    const url = [first!, ...others].map(({ port }) => `nats://127.0.0.1:${port}`).join(",");
    const transport = nats(url, options);
    context.after(() => transport.close());
    const intake = await transport.open(spec);
    const seen = new Set<string>();
    const done = new AbortController();
    const consuming = (async () => {
      while (!done.signal.aborted) {
        for (const lease of await intake.pull(10, done.signal)) {
          seen.add(lease.recorded.event!.id);
          // An answer that the broken connection has swallowed: the event comes again.
          await lease.settle({ kind: "ack" }).catch(() => {});
        }
      }
    })();
    const events = Array.from({ length: 200 }, (_, n) => makeEvent(n));
    for (const [n, event] of events.entries()) {
      if (n === 100) await first!.kill();
      await publish(transport, event, context.signal);
    }
    // Copies elect who leads them; then a request that the dead one had is given up and made again.
    const end = systemClock.monotonic() + 60_000;
    while (seen.size < events.length && systemClock.monotonic() < end) await systemClock.sleep(20);
    done.abort();
    await consuming;
    assert.deepEqual(
      events.filter(({ id }) => !seen.has(id)),
      [],
    );
    await putLetter(transport, context.signal);
    assert.equal((await transport.deadLetters!.get("survivors/1"))?.error.message, "kept by two");
  },
);
