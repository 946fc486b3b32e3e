/** What the shared suite cannot know: what lies on the server, and what others do to it. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Redis } from "ioredis";
import { isCadreError, type Transport } from "cadre";
import { redis, type RedisOptions } from "cadre/redis";
import { redisServerPath, startRedisServer, type RedisServer } from "../../servers/redis-server.ts";
import { makeEvent, specOf, takeOne } from "../plain-events.ts";

const skip = redisServerPath() === undefined ? "there is no redis-server here" : false;
const options = { skip, timeout: 30_000 };
let server: RedisServer | undefined;
if (!skip) server = await startRedisServer();
after(() => server?.stop());

let buses = 0;

/** Gives `use` a transport on a bus of its own and a plain client, and closes both. */
async function withBoth(
  use: (transport: Transport, client: Redis, prefix: string) => Promise<void>,
  settings: RedisOptions = {},
): Promise<void> {
  buses += 1;
  const prefix = `bus${buses}`;
  const client = new Redis(server!.port, "127.0.0.1", { protocol: 2 });
  const transport = redis(server!.url, { prefix, pollMs: 100, ...settings });
  try {
    await use(transport, client, prefix);
  } finally {
    await transport.close();
    client.disconnect();
  }
}

async function publishOne(transport: Transport, type: string, payload?: unknown): Promise<string> {
  const event = makeEvent(type, payload);
  const [result] = await transport.publish([{ event }]);
  assert.ok(result!.ok, String(!result!.ok && result!.error));
  return event.id;
}

test("another client reads an event as a CloudEvent in JSON", options, () =>
  withBoth(async (transport, client, prefix) => {
    const id = await publishOne(transport, "task.created", { title: "read" });
    const [entry] = await client.xrange(`{${prefix}}:e:task`, "-", "+");
    const fields = entry![1];
    assert.deepEqual(fields.slice(0, 5), ["id", id, "type", "task.created", "event"]);
    const cloudEvent = JSON.parse(fields[5]!) as Record<string, unknown>;
    assert.equal(cloudEvent["specversion"], "1.0");
    assert.equal(cloudEvent["id"], id);
    assert.deepEqual(cloudEvent["data"], { title: "read" });
  }),
);

test("an event that another client adds with an id of the server's comes too", options, () =>
  withBoth(async (transport, client, prefix) => {
    const group = await transport.open(specOf("task"));
    const news = await transport.open(specOf("task", { mode: "broadcast" }));
    await publishOne(transport, "task.first");
    for (const intake of [group, news]) assert.ok(await takeOne(intake));
    const cloudEvent = { specversion: "1.0", id: "x-1", source: "other", type: "task.made" };
    const json = JSON.stringify({ ...cloudEvent, data: { n: 1 } });
    await client.xadd(`{${prefix}}:e:task`, "*", "event", json);
    for (const intake of [group, news]) {
      const lease = await takeOne(intake);
      assert.equal(lease?.recorded.event?.id, "x-1");
      assert.equal(await lease.settle({ kind: "ack" }), "ok");
    }
    await publishOne(transport, "task.last");
    assert.equal((await takeOne(group))?.recorded.event?.type, "task.last");
  }),
);

test("what is no event is handed out with its bytes", options, () =>
  withBoth(async (transport, client, prefix) => {
    const group = await transport.open(specOf("task"));
    await publishOne(transport, "task.first");
    await (await takeOne(group))!.settle({ kind: "ack" });
    const bytes = Buffer.from([0, 255, 254, 10, 13, 128]);
    await client.xadd(`{${prefix}}:e:task`, "*", "type", "task.bad", "event", bytes);
    const lease = await takeOne(group);
    assert.deepEqual(Buffer.from(lease!.recorded.undecodable!.bytes), bytes);
    assert.equal(await lease!.settle({ kind: "ack" }), "ok");
  }),
);

test("an open event that is deleted by hand is no longer handed out", options, () =>
  withBoth(async (transport, client, prefix) => {
    const group = await transport.open(specOf("task"));
    await publishOne(transport, "task.made");
    const lease = await takeOne(group);
    await client.del(`{${prefix}}:e:task`);
    await lease!.settle({ kind: "retry", delayMs: 0 });
    assert.equal(await takeOne(group, 300), undefined);
    await publishOne(transport, "task.next");
    assert.equal((await takeOne(group))?.recorded.event?.type, "task.next");
  }),
);

test("a consumer group that is destroyed by hand is made again where it was", options, () =>
  withBoth(async (transport, client, prefix) => {
    const group = await transport.open(specOf("task"));
    await publishOne(transport, "task.first");
    await (await takeOne(group))!.settle({ kind: "ack" });
    await client.xgroup("DESTROY", `{${prefix}}:e:task`, "task");
    await publishOne(transport, "task.second");
    assert.equal((await takeOne(group))?.recorded.event?.type, "task.second");
    assert.equal(await takeOne(group, 200), undefined);
  }),
);

test("XINFO shows a group's lag, and what it has open as pending", options, () =>
  withBoth(async (transport, client, prefix) => {
    const group = await transport.open(specOf("task"));
    for (const n of [1, 2, 3]) await publishOne(transport, "task.made", { n });
    const lease = await takeOne(group);
    const info = (await client.xinfo("GROUPS", `{${prefix}}:e:task`)) as unknown[][];
    const facts = Object.fromEntries(
      Array.from({ length: info[0]!.length / 2 }, (_, at) => info[0]!.slice(2 * at, 2 * at + 2)),
    ) as Record<string, unknown>;
    assert.equal(facts["pending"], 1);
    assert.equal(facts["lag"], 2);
    await lease!.settle({ kind: "ack" });
    const [pending] = await client.xpending(`{${prefix}}:e:task`, "task");
    assert.equal(pending, 0);
  }),
);

test("after FLUSHALL a group's members go on with what comes then", options, async (t) => {
  await using own = await startRedisServer();
  const transport = redis(own.url, { pollMs: 100 });
  t.after(() => transport.close());
  const client = new Redis(own.port, "127.0.0.1");
  t.after(() => client.disconnect());
  const group = await transport.open(specOf("task"));
  const anything = await transport.open(specOf("any", { patterns: ["#"], definition: "#" }));
  await publishOne(transport, "task.before");
  for (const intake of [group, anything]) {
    await (await takeOne(intake))!.settle({ kind: "ack" });
  }
  await client.flushall();
  await takeOne(group, 300);
  await publishOne(transport, "task.after");
  for (const intake of [group, anything]) {
    const lease = await takeOne(intake);
    assert.equal(lease?.recorded.event?.type, "task.after");
    assert.equal(await lease.settle({ kind: "ack" }), "ok");
  }
});

test("scripts that the server has forgotten are sent again", options, () =>
  withBoth(async (transport, client) => {
    await publishOne(transport, "task.first");
    await client.script("FLUSH");
    await publishOne(transport, "task.second");
  }),
);

test("a deleted group ends its open members, and others stay", options, () =>
  withBoth(async (transport, client, prefix) => {
    const gone = await transport.open(specOf("gone"));
    const kept = await transport.open(specOf("kept"));
    const waiting = gone.pull(1, AbortSignal.timeout(5_000));
    await transport.deleteGroup!("gone");
    assert.deepEqual(await waiting, []);
    assert.deepEqual(await gone.pull(1, new AbortController().signal), []);
    await publishOne(transport, "kept.made");
    assert.ok(await takeOne(kept));
    const left = await client.keys(`{${prefix}}:g:gone:*`);
    assert.deepEqual(left, []);
  }),
);

test("a stream is trimmed only below what its groups have handled", options, () =>
  withBoth(
    async (transport, client, prefix) => {
      const key = `{${prefix}}:e:task`;
      const group = await transport.open(specOf("task"));
      const publish = async (count: number): Promise<void> => {
        for (let at = 0; at < count; at += 64) {
          const made = Array.from({ length: 64 }, (_, n) => makeEvent("task.made", n));
          const batch = made.map((event) => ({ event }));
          const results = await transport.publish(batch);
          assert.ok(results.every(({ ok }) => ok));
        }
      };
      await publish(512);
      assert.equal(await client.xlen(key), 512, "the group has read none");
      const leases = [];
      while (leases.length < 512) {
        leases.push(...(await group.pull(256, AbortSignal.timeout(5_000))));
      }
      const held = leases[300]!;
      for (const lease of leases) if (lease !== held) await lease.settle({ kind: "ack" });
      await publish(512);
      await publish(256);
      const until = Date.now() + 5_000;
      while ((await client.xlen(key)) > 1_000 && Date.now() < until) await client.ping();
      const [oldest] = await client.xrange(key, "-", "+", "COUNT", 1);
      const heldId = held.recorded.position.replace(/^0+/, "").replace(/-0+(?=\d)/, "-");
      assert.equal(oldest![0], heldId, "the held one stays, and what was before it is gone");
      assert.equal(await held.settle({ kind: "ack" }), "ok");
    },
    { maxEvents: 100 },
  ),
);

test("one stream for all, and a bus that was made otherwise is refused", options, () =>
  withBoth(
    async (transport, client, prefix) => {
      await publishOne(transport, "task.made");
      await publishOne(transport, "note.made");
      assert.equal(await client.xlen(`{${prefix}}:e:all`), 2);
      const other = redis(server!.url, { prefix });
      await assert.rejects(other.open(specOf("task")), (error) =>
        isCadreError(error, "INVALID_OPTION"),
      );
      await other.close();
    },
    { streams: "single" },
  ),
);

test("events come in the order of their positions over several streams", options, () =>
  withBoth(async (transport) => {
    const spec = specOf("any", { patterns: ["*.made"], definition: "any" });
    const group = await transport.open(spec);
    const news = await transport.open({ ...spec, mode: "broadcast", subscription: "news" });
    const ids: string[] = [];
    for (let n = 0; n < 60; n += 1) ids.push(await publishOne(transport, `d${n % 7}.made`, n));
    for (const intake of [group, news]) {
      const seen: string[] = [];
      while (seen.length < 60) {
        const leases = await intake.pull(7, AbortSignal.timeout(5_000));
        assert.ok(leases.length > 0);
        for (const lease of leases) seen.push(lease.recorded.event!.id);
      }
      assert.deepEqual(seen, ids);
    }
  }),
);
