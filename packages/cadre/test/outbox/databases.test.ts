/**
 * The outbox, its relays and the inbox on every database that they are for, with its own client.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isCadreError, type AgentEvent, type SqlClient, type SqlDatabase } from "cadre";
import { createInbox, createOutbox, startOutboxRelay, type OutboxRelay } from "cadre/outbox";
import { databases, openDatabase, type OpenDatabase, type TestDatabase } from "./databases.ts";

/** Lets timers and I/O run. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

class Kept {
  readonly events: AgentEvent[] = [];
  #reached: { count: number; resolve: () => void } | undefined;

  publishEvent(event: AgentEvent): Promise<void> {
    this.events.push(event);
    if (this.#reached && this.events.length >= this.#reached.count) this.#reached.resolve();
    return Promise.resolve();
  }

  raise(): void {}

  /** Resolves when so many have come. */
  reached(count: number): Promise<void> {
    if (this.events.length >= count) return Promise.resolve();
    return new Promise((resolve) => (this.#reached = { count, resolve }));
  }
}

for (const { dialect, skip, start } of databases) {
  describe(`outbox and inbox on ${dialect}`, { skip, timeout: 60_000 }, () => {
    let server: TestDatabase;
    let opened: OpenDatabase[] = [];
    let tables = 0;

    before(async () => {
      server = await start();
    });
    after(async () => {
      for (const each of opened) await each.close();
      await server.stop();
    });

    async function setUp() {
      const open = (): OpenDatabase => {
        const database = openDatabase(server.url, 0);
        opened.push(database);
        return database;
      };
      const { client } = open();
      tables += 1;
      const outbox = createOutbox({ table: `outbox_${tables}` });
      const inbox = createInbox({ table: `inbox_${tables}` });
      await outbox.setup(client);
      await inbox.setup(client);
      const bus = new Kept();
      const relay = (options: object = {}): Promise<OutboxRelay> =>
        startOutboxRelay({ outbox, client: open().client, bus, pollMs: 50, ...options });
      const add = (tx: SqlClient, n: number, key?: string): Promise<AgentEvent> =>
        outbox.add(tx, { type: "a.b", payload: { n }, options: key === undefined ? {} : { key } });
      return { open, client, outbox, inbox, bus, relay, add };
    }

    // MySQL has nothing that ends an idle transaction; SQLite's claims have none open.
    test(
      "a relay that freezes within a claim holds its rows no longer than its lease",
      {
        skip: dialect !== "postgres" && "only Postgres ends a transaction that stands idle",
      },
      async () => {
        const { open, outbox, bus, relay, add } = await setUp();
        const { client } = open();
        await add(client, 1, "key");
        const frozen = Promise.withResolvers<void>();
        const goOn = Promise.withResolvers<void>();
        const freezing: SqlDatabase = {
          ...client,
          transaction: (work) =>
            client.transaction((tx) =>
              work({
                ...tx,
                query: async (sql, params) => {
                  if (sql.includes("SET claim =")) {
                    frozen.resolve();
                    await goOn.promise;
                  }
                  return tx.query(sql, params);
                },
              }),
            ),
        };
        await using _late = await startOutboxRelay({ outbox, client: freezing, bus, leaseMs: 200 });
        await frozen.promise;
        await using _other = await relay({ leaseMs: 200 });
        const deadline = setTimeout(() => goOn.resolve(), 5_000);
        await Promise.race([bus.reached(1), goOn.promise]);
        clearTimeout(deadline);
        const reached = bus.events.length;
        goOn.resolve();
        assert.equal(reached, 1);
      },
    );

    test("names of full length keep their indexes, and their relay hears of commits", async () => {
      const { client } = await setUp();
      const schema = dialect === "sqlite" ? "main" : `shop_${"s".repeat(43)}`;
      if (dialect !== "sqlite") await client.query(`CREATE SCHEMA ${schema}`);
      const outbox = createOutbox({ table: `${schema}.${"t".repeat(48)}` });
      const inbox = createInbox({ table: `${schema}.${"i".repeat(48)}` });
      await outbox.setup(client);
      await inbox.setup(client);
      if (dialect === "postgres") {
        const found = "SELECT count(*) AS many FROM pg_indexes WHERE schemaname = $1";
        const { rows } = await client.query(found, [schema]);
        assert.equal(Number(rows[0]?.["many"]), 5);
      }
      const bus = new Kept();
      await using _relay = await startOutboxRelay({ outbox, client, bus });
      await outbox.add(client, { type: "order.placed", payload: {} });
      outbox.wake();
      await bus.reached(1);
    });

    test("what is committed is published as it was added; what is rolled back is not", async () => {
      const { client, bus, relay, add } = await setUp();
      await using running = await relay();
      const failing = client.transaction(async (tx) => {
        await add(tx, 1);
        throw new Error("on purpose");
      });
      await assert.rejects(failing, /on purpose/);
      const odd = "\0 \ud83d\ude00 'quoted' \\ \"x\"";
      const added = await client.transaction((tx) => add(tx, 2, odd));
      await bus.reached(1);
      await running.idle();
      assert.deepEqual(bus.events, [added]);
      const { backlog } = await running.status();
      assert.deepEqual(backlog, { waiting: 0, stuck: 0, aside: 0, published: 1, skipped: 0 });
    });

    test("three relays keep the order of each key and publish every row once", async () => {
      const { client, bus, relay, add } = await setUp();
      await client.transaction(async (tx) => {
        for (let n = 0; n < 200; n += 1) await add(tx, n, `k${n % 9}`);
        for (let n = 200; n < 220; n += 1) await add(tx, n);
      });
      const relays = await Promise.all([1, 2, 3].map(() => relay({ maxKeys: 3, maxRows: 10 })));
      await bus.reached(220);
      for (const each of relays) await each.idle();
      for (const each of relays) await each.close();
      assert.equal(bus.events.length, 220);
      for (let key = 0; key < 9; key += 1) {
        const numbers = bus.events
          .filter(({ metadata }) => metadata.key === `k${key}`)
          .map(({ payload }) => (payload as { n: number }).n);
        assert.deepEqual(
          numbers,
          numbers.toSorted((left, right) => left - right),
        );
      }
    });

    test("a refused row shows, waits, and can be retried, skipped and cleaned", async () => {
      const { client, outbox, bus, relay, add } = await setUp();
      await client.transaction(async (tx) => {
        for (const n of [1, 2, 3]) await add(tx, n, n < 3 ? "a" : "b");
      });
      const publishEvent = (event: AgentEvent): Promise<void> =>
        (event.payload as { n: number }).n === 1
          ? Promise.reject(new Error("no \0 such topic"))
          : bus.publishEvent(event);
      await using running = await relay({
        bus: { publishEvent, raise: () => {} },
        keepPublishedMs: 0,
        cleanEveryMs: 10,
      });
      await bus.reached(1);
      let [entry] = await outbox.list(client, { key: "a" });
      while (!entry?.error) {
        await turn();
        [entry] = await outbox.list(client, { key: "a" });
      }
      assert.match(entry.error, /^Error: no  such topic$/);
      assert.equal(entry.state, "waiting");
      let skipped = 0;
      while (skipped === 0) {
        await turn();
        skipped = await outbox.skip(client, [entry.position]);
      }
      await bus.reached(2);
      await running.idle();
      while ((await outbox.list(client)).length > 0) await turn();
      assert.deepEqual(
        bus.events.map(({ payload }) => (payload as { n: number }).n),
        [3, 2],
      );
    });

    test("setting up at once from several connections works", async () => {
      const { open } = await setUp();
      const name = `together_${tables}`;
      const clients = [open().client, open().client, open().client];
      await Promise.all(
        clients.flatMap((each) => [
          createOutbox({ table: name }).setup(each),
          createInbox({ table: `${name}_in` }).setup(each),
        ]),
      );
      assert.equal((await createOutbox({ table: name }).backlog(clients[0]!)).waiting, 0);
    });

    test("of two that handle one event at once, the second is a duplicate", async (context) => {
      if (dialect === "sqlite") return context.diagnostic("its transactions wait for each other");
      const { client, inbox } = await setUp();
      const delivery = { subscription: "g", eventId: "e" };
      let calls = 0;
      let first!: () => void;
      const firstIn = new Promise<void>((resolve) => (first = resolve));
      let go!: () => void;
      const gate = new Promise<void>((resolve) => (go = resolve));
      const one = client.transaction((tx) =>
        inbox.once(tx, delivery, async () => {
          calls += 1;
          first();
          await gate;
        }),
      );
      await firstIn;
      const two = client.transaction((tx) => inbox.once(tx, delivery, () => void (calls += 1)));
      go();
      assert.deepEqual(await Promise.all([one, two]).then((all) => all.map((o) => o.duplicate)), [
        false,
        true,
      ]);
      assert.equal(calls, 1);
    });

    test("when the first of two rolls back, the second handles the event", async (context) => {
      if (dialect === "sqlite") return context.diagnostic("its transactions wait for each other");
      const { client, inbox } = await setUp();
      const delivery = { subscription: "g", eventId: "e" };
      let first!: () => void;
      const firstIn = new Promise<void>((resolve) => (first = resolve));
      let fail!: (error: Error) => void;
      const gate = new Promise<void>((_, reject) => (fail = reject));
      const one = client.transaction((tx) =>
        inbox.once(tx, delivery, () => {
          first();
          return gate;
        }),
      );
      await firstIn;
      const two = client.transaction((tx) => inbox.once(tx, delivery, () => "handled"));
      fail(new Error("on purpose"));
      await assert.rejects(one, /on purpose/);
      assert.deepEqual(await two, { duplicate: false, result: "handled" });
    });

    test("marks are pruned, and a handler that fails leaves none", async () => {
      const { client, inbox } = await setUp();
      const failing = client.transaction((tx) =>
        inbox.once(tx, { subscription: "g", eventId: "e" }, () => {
          throw new Error("on purpose");
        }),
      );
      await assert.rejects(failing, /on purpose/);
      const batch = ["e", "f", "e"].map((eventId) => ({ subscription: "g", eventId }));
      const { handled, duplicates } = await client.transaction((tx) =>
        inbox.onceEach(tx, batch, () => {}),
      );
      assert.deepEqual([handled.length, duplicates.length], [2, 1]);
      assert.equal(await inbox.prune(client, 60_000), 0);
      assert.equal(await inbox.prune(client, 0), 2);
    });

    test("a transaction whose failure was caught commits nothing silently", async () => {
      const { client, outbox, add } = await setUp();
      const outcome = await client
        .transaction(async (tx) => {
          await add(tx, 1);
          await tx.query("SELECT * FROM no_such_table").catch(() => undefined);
        })
        .then(
          () => "committed",
          () => "failed",
        );
      const { waiting } = await outbox.backlog(client);
      assert.equal(outcome === "committed", waiting === 1);
    });

    test("the relay goes on when the database was killed and is there again", async (context) => {
      if (!server.kill || !server.restart) return context.diagnostic("it has no server");
      const { client, bus, relay, add } = await setUp();
      await add(client, 1, "k");
      await using running = await relay({ leaseMs: 1_000, minRetryMs: 10 });
      await bus.reached(1);
      await running.idle();
      await server.kill();
      await assert.rejects(add(client, 2, "k"));
      await server.restart();
      await add(client, 3, "k");
      await bus.reached(2);
      const numbers = bus.events.map(({ payload }) => (payload as { n: number }).n);
      assert.deepEqual(numbers, [1, 3]);
      // Woken by a commit, where the database tells of it: the relay listens again.
      const notified = dialect === "postgres";
      await using patient = await relay({ pollMs: notified ? 600_000 : 50, minPollMs: 20 });
      while ((await patient.status()).error) await turn();
      await add(client, 4, "k");
      await bus.reached(3);
    });

    test("a commit wakes a relay that would not look for ten minutes", async (context) => {
      if (dialect !== "postgres") return context.diagnostic("it tells of no commits");
      const { client, bus, relay, add } = await setUp();
      await using running = await relay({ pollMs: 600_000, minPollMs: 600_000 });
      await add(client, 1);
      await bus.reached(1);
      await client.transaction((tx) => add(tx, 2));
      await bus.reached(2);
      assert.equal((await running.status()).error, undefined);
    });

    test("bad input fails before anything is written, and the transaction can go on", async () => {
      const { client, outbox, add } = await setUp();
      await client.transaction(async (tx) => {
        const bad = { type: "a b", payload: {} };
        await assert.rejects(outbox.add(tx, bad), (error) => isCadreError(error, "INVALID_TOPIC"));
        await add(tx, 1);
      });
      assert.equal((await outbox.backlog(client)).waiting, 1);
    });
  });
}
