/** Deliveries that one claim has handed out lie together on the server, and part as they must. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Redis } from "ioredis";
import type { Intake, Lease } from "cadre";
import { redis } from "cadre/redis";
import { startFaultProxy } from "cadre/testing";
import { redisServerPath, startRedisServer, type RedisServer } from "../../servers/redis-server.ts";
import { makeEvent, specOf } from "../plain-events.ts";

const skip = redisServerPath() === undefined ? "there is no redis-server here" : false;
const options = { skip, timeout: 30_000 };
let server: RedisServer | undefined;
if (!skip) server = await startRedisServer();
after(() => server?.stop());

let buses = 0;

interface Parts {
  readonly client: Redis;
  readonly group: Intake;
  readonly keyOf: (name: string) => string;
}

/** A group with six events to hand out, whose leases last for `leaseMs`. */
async function withSix(leaseMs: number, use: (parts: Parts) => Promise<void>): Promise<void> {
  buses += 1;
  const prefix = `claims${buses}`;
  const client = new Redis(server!.port, "127.0.0.1");
  const transport = redis(server!.url, { prefix, pollMs: 20 });
  try {
    const group = await transport.open(specOf("task", { leaseMs }));
    const batch = Array.from({ length: 6 }, (_, n) => ({ event: makeEvent("task.made", { n }) }));
    for (const { ok } of await transport.publish(batch)) assert.ok(ok);
    await use({ client, group, keyOf: (name) => `{${prefix}}:g:task:${name}` });
  } finally {
    await transport.close();
    client.disconnect();
  }
}

/** Pulls until `count` have come, in one claim or several. */
async function take(group: Intake, count: number): Promise<Lease[]> {
  const leases: Lease[] = [];
  while (leases.length < count) {
    const some = await group.pull(count - leases.length, AbortSignal.timeout(10_000));
    assert.ok(some.length > 0, `${leases.length} of ${count} came`);
    leases.push(...some);
  }
  return leases;
}

function numbersOf(leases: readonly Lease[]): number[] {
  const payloads = leases.map(({ recorded }) => recorded.event!.payload as { readonly n: number });
  return payloads.map(({ n }) => n).sort((a, b) => a - b);
}

test(
  "of a claim whose time has run out, what is not done comes again, the rest does not",
  options,
  () =>
    withSix(150, async ({ group }) => {
      const leases = await take(group, 6);
      const [acked, retried, extended, ...left] = leases;
      assert.equal(await acked!.settle({ kind: "ack" }), "ok");
      assert.equal(await retried!.settle({ kind: "retry", delayMs: 60_000 }), "ok");
      assert.equal(await extended!.extend(60_000), "ok");
      const again = await take(group, 3);
      assert.deepEqual(numbersOf(again), numbersOf(left));
      for (const { attempt } of again) assert.equal(attempt, 2);
      for (const late of left) assert.equal(await late.settle({ kind: "ack" }), "lost");
      assert.equal(await extended!.settle({ kind: "ack" }), "ok");
      for (const lease of again) assert.equal(await lease.settle({ kind: "ack" }), "ok");
      assert.deepEqual(await group.pull(6, AbortSignal.timeout(300)), []);
    }),
);

test("a claim that is extended as a whole stays, and keeps one time", options, () =>
  withSix(300, async ({ group, client, keyOf }) => {
    const leases = await take(group, 6);
    const claims = await client.zcard(keyOf("held"));
    const answers = await Promise.all(leases.map((lease) => lease.extend(60_000)));
    assert.deepEqual(new Set(answers), new Set(["ok"]));
    assert.equal(await client.zcard(keyOf("due")), 0, "none has a time of its own");
    assert.equal(await client.zcard(keyOf("held")), claims);
    assert.deepEqual(await group.pull(6, AbortSignal.timeout(600)), []);
    for (const lease of leases) assert.equal(await lease.settle({ kind: "ack" }), "ok");
  }),
);

test("what a claim has kept on the server goes with its last delivery", options, () =>
  withSix(60_000, async ({ group, client, keyOf }) => {
    const leases = await take(group, 6);
    assert.ok((await client.zcard(keyOf("held"))) > 0);
    await leases[0]!.settle({ kind: "release" });
    await leases[1]!.settle({ kind: "retry", delayMs: 0 });
    for (const lease of leases.slice(2)) await lease.settle({ kind: "ack" });
    for (const name of ["held", "of", "left"]) assert.equal(await client.exists(keyOf(name)), 0);
    const again = await take(group, 2);
    assert.deepEqual(
      again.map(({ attempt }) => attempt).sort((a, b) => a - b),
      [1, 2],
    );
    for (const lease of again) assert.equal(await lease.settle({ kind: "ack" }), "ok");
    for (const name of ["d", "due", "held", "of", "left"]) {
      assert.equal(await client.exists(keyOf(name)), 0, name);
    }
  }),
);

test("an extension and an ack that are asked in one breath both hold", options, () =>
  withSix(60_000, async ({ group }) => {
    const [first, second] = await take(group, 6);
    const asked = [
      first!.settle({ kind: "ack" }),
      second!.extend(50),
      second!.settle({ kind: "ack" }),
    ];
    assert.deepEqual(await Promise.all(asked), ["ok", "ok", "ok"]);
    assert.deepEqual(await group.pull(6, AbortSignal.timeout(300)), []);
  }),
);

test("an ack that waits for a claim's answer is sent without another claim", options, () =>
  withSix(60_000, async ({ group, client, keyOf }) => {
    const leases = await take(group, 6);
    const waiting = group.pull(1, AbortSignal.timeout(500)); // asks, finds nothing, and waits
    const answers = await Promise.all(leases.map((lease) => lease.settle({ kind: "ack" })));
    assert.deepEqual(new Set(answers), new Set(["ok"]));
    assert.equal(await client.exists(keyOf("d")), 0);
    assert.deepEqual(await waiting, []);
  }),
);

test("what a claim has handed out whose answer was lost comes again", options, async () => {
  const proxy = await startFaultProxy({ target: { port: server!.port } });
  const prefix = "lost-answer";
  const here = redis(server!.url, { prefix });
  const there = redis(`redis://${proxy.host}:${proxy.port}`, { prefix, pollMs: 20 });
  const publish = async (...numbers: readonly number[]): Promise<void> => {
    await here.publish(numbers.map((n) => ({ event: makeEvent("task.made", { n }) })));
  };
  try {
    const group = await there.open(specOf("task", { leaseMs: 300 }));
    await publish(1, 2, 3);
    const cut = proxy.cutNext({ direction: "toClient", match: '"n":1' });
    const pulled = take(group, 1);
    await cut.done;
    await publish(4, 5, 6);
    const seen = numbersOf(await pulled);
    while (new Set(seen).size < 6) {
      const leases = await group.pull(6, AbortSignal.timeout(5_000));
      assert.ok(leases.length > 0, `only ${seen.join()} came`);
      for (const lease of leases) await lease.settle({ kind: "ack" });
      seen.push(...numbersOf(leases));
    }
  } finally {
    await there.close();
    await here.close();
    await proxy.close();
  }
});
