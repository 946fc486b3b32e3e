/** Schedules that a stranger would try: two logs on one pool, late calls, notifications between looks. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { after, test } from "node:test";
import {
  claimCheckStore,
  isCadreError,
  runRetention,
  storeBlobs,
  systemClock,
  VirtualClock,
  type Transport,
} from "cadre";
import { openPostgres, postgres, type PostgresPool } from "cadre/postgres";
import type { ConsumeSpec } from "#src/bus/transport.ts";
import { CommitBatch } from "#src/drivers/postgres/commit-batch.ts";
import { commitCall } from "#src/drivers/postgres/commit-function.ts";
import { loadLibrary, type Library } from "#src/drivers/postgres/connect.ts";
import { postgresServerPath, startPostgresServer } from "../../servers/postgres-server.ts";
import { noted } from "./noted.ts";

const spec: ConsumeSpec = {
  subscription: "workers",
  mode: "group",
  patterns: ["test.#"],
  definition: "test.#",
  from: "earliest",
  leaseMs: 10_000,
  maxQueued: 100,
};

async function deliverOne(transport: Transport, sent: string): Promise<void> {
  const intakes = [
    await transport.open(spec),
    await transport.open({ ...spec, mode: "broadcast", subscription: "watcher", from: "new" }),
  ];
  const event = noted({ sent });
  const [result] = await transport.publish([{ event }]);
  assert.ok(result?.ok);
  for (const intake of intakes) {
    const [lease] = await intake.pull(1, AbortSignal.timeout(5_000));
    assert.deepEqual(lease?.recorded.event?.payload, { sent });
    assert.equal(await lease?.extend(1_000), "ok");
    assert.equal(await lease?.settle({ kind: "ack" }), "ok");
  }
}

for (const text of ["postgres://team:w/x9z@db/team", "mysql://team:w@x9z@db/team?password=x9z"]) {
  test(`no message shows the password of ${text}`, () => {
    assert.throws(
      () => postgres(text),
      (error) => isCadreError(error, "INVALID_OPTION") && !error.message.includes("x9z"),
    );
  });
}

if (postgresServerPath() === undefined) {
  test("schedules on one server", { skip: "there is no postgres here" }, () => {});
} else {
  const server = await startPostgresServer();
  after(() => server.stop());

  const openPool = async (stack: AsyncDisposableStack): Promise<InstanceType<Library["Pool"]>> => {
    const { Pool } = await loadLibrary();
    const pool = new Pool({ connectionString: await server.createDatabase(), max: 4 });
    pool.on("error", () => {});
    stack.defer(() => pool.end());
    return pool;
  };

  test("two logs share the connections of one pool", async () => {
    await using stack = new AsyncDisposableStack();
    const pool = await openPool(stack);
    const shop = await openPostgres(pool, { schema: "shop" });
    stack.defer(() => shop.close());
    const team = await openPostgres(pool, { schema: "team" });
    stack.defer(() => team.close());
    for (let round = 0; round < 3; round += 1) {
      await deliverOne(shop.transport, `shop ${round}`);
      await deliverOne(team.transport, `team ${round}`);
    }
  });

  test("members with leases of other lengths wait without asking again and again", async () => {
    await using stack = new AsyncDisposableStack();
    const pool = await openPool(stack);
    let claims = 0;
    const counting: PostgresPool = {
      connect: async () => {
        const client = await pool.connect();
        const { query } = client;
        const { release } = client;
        client.query = (asked) => {
          if (asked.text.includes("claim(")) claims += 1;
          return query.call(client, asked);
        };
        client.release = (destroy) => {
          client.query = query;
          release.call(client, destroy);
        };
        return client;
      },
      end: () => pool.end(),
    };
    const log = await openPostgres(Object.assign(counting, { totalCount: 0 }), { pollMs: 60_000 });
    stack.defer(() => log.close());
    const short = await log.transport.open(spec);
    const long = await log.transport.open({ ...spec, leaseMs: 20_000 });
    const signal = AbortSignal.timeout(10_000);
    const pulls = [short.pull(1, signal), long.pull(1, signal)];
    await systemClock.sleep(300);
    assert.ok(claims <= 6, `${claims} claims of two pulls that wait`);
    await log.transport.publish([{ event: noted() }, { event: noted() }]);
    for (const pull of pulls) assert.equal((await pull).length, 1);
  });

  test("a connection that breaks while health is asked ends nobody's process", async () => {
    await using stack = new AsyncDisposableStack();
    const real = await openPool(stack);
    let breaks = false;
    const breaking: PostgresPool = {
      connect: async () => {
        const client = await real.connect();
        if (!breaks) return client;
        client.release();
        const broken = new EventEmitter();
        return Object.assign(broken, {
          release: () => {},
          query: () => {
            const ears = broken.listenerCount("error");
            return Promise.reject(new Error(`Connection terminated, heard by ${ears}`));
          },
        });
      },
      end: () => real.end(),
    };
    const log = await openPostgres(Object.assign(breaking, { totalCount: 0 }));
    stack.defer(() => log.close());
    assert.equal((await log.transport.health!()).ok, true);
    breaks = true;
    // An "error" of a client that nobody hears ends the process.
    const { ok, detail } = await log.transport.health!();
    breaks = false;
    assert.equal(ok, false);
    assert.match(detail ?? "", /heard by 1/);
  });

  test("a batch that reaches the server late, after the one behind it, changes nothing", async () => {
    await using stack = new AsyncDisposableStack();
    const pool = await openPool(stack);
    const log = await openPostgres(pool);
    stack.defer(() => log.close());
    const client = await pool.connect();
    const send = async (batch: number, value: string): Promise<void> => {
      const commit = new CommitBatch();
      const slots = [{ name: "place", expectedVersion: "any" as const, value }];
      commit.add({ appends: [], loose: [], slots, inbox: [], removals: [] });
      const memory = { writer: "00000000-0000-4000-8000-000000000001", batch };
      const values = commit.parameters(true, memory);
      await client.query({ text: commitCall("cadre"), values, rowMode: "array" });
    };
    await send(1, "old");
    await send(2, "new");
    const late = send(1, "old").finally(() => client.release());
    await assert.rejects(late, /batch 1 comes after batch 2/);
    assert.deepEqual(await log.store.slot("place"), { value: "new", version: 2 });
  });

  test("retention counts ages by the server's clock, whatever this host's says", async () => {
    await using stack = new AsyncDisposableStack();
    const log = await openPostgres(await openPool(stack));
    stack.defer(() => log.close());
    await log.store.commit({ outbox: [noted()] });
    const monthMs = 30 * 86_400_000;
    const clock = new VirtualClock(systemClock.now() + 12 * monthMs);
    const store = claimCheckStore(log.store, { blobs: storeBlobs(log.store) });
    const { removed } = await runRetention({ store, rules: [{ maxAgeMs: monthMs }], clock });
    assert.equal(removed, 0);
  });

  test("an event that comes while a group looks whether another was its own is not left waiting", async () => {
    await using stack = new AsyncDisposableStack();
    const pool = await openPool(stack);
    const other = await openPostgres(pool);
    stack.defer(() => other.close());
    let published = false;
    const slow: PostgresPool = {
      connect: async () => {
        const client = await pool.connect();
        const { query, release } = client;
        client.query = async (asked) => {
          const answer = await query.call(client, asked);
          const looked = asked.text.includes("page ORDER BY") && answer.rows.length === 0;
          if (looked && !published) {
            published = true;
            await other.transport.publish([{ event: noted() }]);
            await systemClock.sleep(200); // for its notification to be first
          }
          return answer;
        };
        client.release = (destroy) => {
          Object.assign(client, { query, release });
          release.call(client, destroy);
        };
        return client;
      },
      end: () => pool.end(),
    };
    const log = await openPostgres(Object.assign(slow, { totalCount: 0 }), { pollMs: 60_000 });
    stack.defer(() => log.close());
    const intake = await log.transport.open(spec);
    const pull = intake.pull(1, AbortSignal.timeout(5_000));
    await systemClock.sleep(300); // until it listens and waits
    await other.transport.publish([{ event: noted({}, "unrelated.noted") }]);
    assert.equal((await pull).length, 1);
    assert.ok(published);
  });

  test("an event that is redriven while retention runs is delivered whole", async () => {
    await using stack = new AsyncDisposableStack();
    const log = await openPostgres(await openPool(stack));
    stack.defer(() => log.close());
    const intake = await log.transport.open(spec);
    const event = noted({ text: "kept" });
    await log.transport.publish([{ event }]);
    const [first] = await intake.pull(1, AbortSignal.timeout(5_000));
    assert.equal(await first?.settle({ kind: "ack" }), "ok");
    const redrive = async (): Promise<readonly []> => {
      await log.transport.publish([{ event, to: { group: spec.subscription } }]);
      return [];
    };
    const rules = [{ type: "test.noted", maxEvents: 0 }];
    // It has asked what the groups need by then.
    const { removed } = await runRetention({ store: log.store, rules, holds: redrive });
    assert.equal(removed, 1);
    const [again] = await intake.pull(1, AbortSignal.timeout(5_000));
    assert.deepEqual(again?.recorded.event, event);
  });

  test("groups that wait are looked for in one statement, which finds what no notification told", async () => {
    await using stack = new AsyncDisposableStack();
    const pool = await openPool(stack);
    const other = await openPostgres(pool);
    stack.defer(() => other.close());
    const asked: string[] = [];
    const deaf: PostgresPool = {
      connect: async () => {
        const client = await pool.connect();
        const { query, release } = client;
        client.query = (question) => {
          const { text } = question;
          asked.push(text);
          return query.call(
            client,
            text.startsWith("LISTEN") ? { ...question, text: "" } : question,
          );
        };
        client.release = (destroy) => {
          Object.assign(client, { query, release });
          release.call(client, destroy);
        };
        return client;
      },
      end: () => pool.end(),
    };
    const log = await openPostgres(Object.assign(deaf, { totalCount: 0 }), { pollMs: 50 });
    stack.defer(() => log.close());
    const signal = AbortSignal.timeout(10_000);
    const pulls: Promise<readonly unknown[]>[] = [];
    for (let no = 0; no < 8; no += 1) {
      const intake = await log.transport.open({ ...spec, subscription: `group ${no}` });
      pulls.push(intake.pull(1, signal));
    }
    await systemClock.sleep(300); // until all have asked once
    asked.length = 0;
    await systemClock.sleep(500);
    assert.equal(asked.filter((text) => text.includes("claim(")).length, 0);
    const looks = asked.filter((text) => text.includes("waiting(")).length;
    assert.ok(looks >= 1 && looks <= 10, `${looks} looks`);
    await other.transport.publish([{ event: noted() }]);
    for (const pull of pulls) assert.equal((await pull).length, 1);
  });
}
