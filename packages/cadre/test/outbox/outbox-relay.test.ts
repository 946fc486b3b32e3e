import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { CadreError, sqliteClient, VirtualClock, type AgentEvent, type SqlDatabase } from "cadre";
import { createOutbox, startOutboxRelay, type OutboxRelayOptions } from "cadre/outbox";
import { OutboxRows } from "#src/outbox/outbox-rows.ts";

type Refuse = (event: AgentEvent) => Error | undefined;

/** A bus that keeps what it is given, unless it is told to refuse. */
class KeepingBus {
  readonly events: AgentEvent[] = [];
  readonly raised: unknown[] = [];
  refuse: Refuse = () => undefined;

  publishEvent(event: AgentEvent): Promise<void> {
    const error = this.refuse(event);
    if (error) return Promise.reject(error);
    this.events.push(event);
    return Promise.resolve();
  }

  raise(error: unknown): void {
    this.raised.push(error);
  }

  numbers(key?: string): unknown[] {
    return this.events
      .filter(({ metadata }) => key === undefined || metadata.key === key)
      .map(({ payload }) => (payload as { n: number }).n);
  }
}

const down: Refuse = () => new CadreError("UNREACHABLE", "down", {} as never);
const never = (n: number): Refuse => {
  const error = new CadreError("TOO_LARGE", "too large", { bytes: 2, maxBytes: 1 });
  return ({ payload }) => ((payload as { n: number }).n === n ? error : undefined);
};

async function setUp(context: TestContext) {
  const clock = new VirtualClock();
  const client = sqliteClient(new DatabaseSync(":memory:"));
  const outbox = createOutbox({ clock });
  await outbox.setup(client);
  const bus = new KeepingBus();
  const start = async (options: Partial<OutboxRelayOptions> = {}) => {
    const relay = await startOutboxRelay({ outbox, client, bus, clock, ...options });
    context.after(() => relay.close());
    return relay;
  };
  const add = (n: number, key?: string): Promise<AgentEvent> =>
    outbox.add(client, { type: "a.b", payload: { n }, options: key === undefined ? {} : { key } });
  return { clock, client, outbox, bus, start, add };
}

async function states(client: SqlDatabase): Promise<unknown[]> {
  const { rows } = await client.query("SELECT state FROM cadre_outbox ORDER BY position");
  return rows.map(({ state }) => state);
}

test("events are published as they were added: same id, time and metadata", async (context) => {
  const { clock, client, bus, start, add } = await setUp(context);
  const added = await add(1, "k");
  clock.jump(3_600_000);
  const relay = await start();
  await clock.advance(100);
  assert.deepEqual(bus.events, [added]);
  assert.deepEqual(await states(client), ["published"]);
  assert.equal((await relay.status()).published, 1);
});

test("what is added while the relay runs is found by polling, and at once when woken", async (context) => {
  const { clock, outbox, bus, start, add } = await setUp(context);
  await start();
  await clock.advance(60_000);
  await add(1);
  await clock.advance(999);
  await clock.advance(1);
  assert.deepEqual(bus.numbers(), [1]);
  await clock.advance(60_000);
  await add(2);
  outbox.wake();
  await clock.settle();
  assert.deepEqual(bus.numbers(), [1, 2]);
});

test("a refused event is tried again, and its key waits behind it; others go on", async (context) => {
  const { clock, bus, start, add } = await setUp(context);
  let isDown = true;
  bus.refuse = ({ payload }) =>
    isDown && (payload as { n: number }).n === 1 ? down({} as AgentEvent) : undefined;
  for (const [n, key] of [
    [1, "a"],
    [2, "a"],
    [3, "b"],
    [4, "b"],
  ] as const)
    await add(n, key);
  await start();
  await clock.advance(5_000);
  assert.deepEqual(bus.numbers(), [3, 4]);
  isDown = false;
  await clock.advance(10_000);
  assert.deepEqual(bus.numbers("a"), [1, 2]);
});

test("while the bus takes nothing the pauses grow, and the status says why", async (context) => {
  const { clock, outbox, client, bus, start, add } = await setUp(context);
  let asked = 0;
  bus.refuse = (event) => {
    asked += 1;
    return down(event);
  };
  const added = await add(1);
  const relay = await start({ maxRetryMs: 60_000 });
  await clock.advance(120_000);
  assert.ok(asked >= 8 && asked <= 20, `asked ${asked} times in two minutes`);
  const { backlog, error, refused } = await relay.status();
  assert.equal(backlog?.stuck, 1);
  assert.equal(refused, asked);
  assert.match(String(error), /down/);
  const [entry] = await outbox.list(client, { stuck: true });
  assert.equal(entry?.attempts, asked);
  assert.match(entry?.error ?? "", /UNREACHABLE: down/);
  assert.ok(bus.raised.length > 0);
  bus.refuse = () => undefined;
  await clock.advance(60_000);
  assert.deepEqual(bus.events, [added]);
});

test("an event that can never be published keeps its key waiting, until a person skips it", async (context) => {
  const { clock, outbox, client, bus, start, add } = await setUp(context);
  bus.refuse = never(1);
  await add(1, "a");
  await add(2, "a");
  await add(3, "b");
  await start();
  await clock.advance(10_000);
  assert.deepEqual(bus.numbers(), [3]);
  const [entry] = await outbox.list(client, { state: "waiting" });
  assert.equal(await outbox.skip(client, [entry!.position]), 1);
  await clock.advance(1_000);
  assert.deepEqual(bus.numbers(), [3, 2]);
  assert.deepEqual(await states(client), ["skipped", "published", "published"]);
});

test("set aside on request, an event lets its key go on, and a retry publishes it", async (context) => {
  const { clock, outbox, client, bus, start, add } = await setUp(context);
  bus.refuse = never(1);
  await add(1, "a");
  await add(2, "a");
  const relay = await start({ onPoison: "set-aside" });
  await clock.advance(1_000);
  assert.deepEqual(bus.numbers(), [2]);
  assert.equal((await relay.status()).backlog?.aside, 1);
  const [aside] = await outbox.list(client, { state: "aside" });
  bus.refuse = () => undefined;
  assert.equal(await outbox.retry(client, [aside!.position]), 1);
  await clock.advance(1_000);
  assert.deepEqual(bus.numbers(), [2, 1]);
});

test("a row that is no event any more is refused like one, and the others go on", async (context) => {
  const { clock, outbox, client, bus, start, add } = await setUp(context);
  await add(1, "a");
  await add(2, "b");
  await client.query("UPDATE cadre_outbox SET event = '{' WHERE position = 1");
  await start();
  await clock.advance(1_000);
  assert.deepEqual(bus.numbers(), [2]);
  const [entry] = await outbox.list(client, { state: "waiting" });
  assert.match(entry?.error ?? "", /^UNDECODABLE/);
});

test("a refusal without a reason is a refusal", async (context) => {
  const { clock, outbox, client, start, add } = await setUp(context);
  await add(1);
  // oxlint-disable-next-line prefer-promise-reject-errors -- a bus that does so is the matter
  await start({ bus: { publishEvent: () => Promise.reject(), raise: () => {} } });
  await clock.advance(1_000);
  const [entry] = await outbox.list(client);
  assert.equal(entry?.state, "waiting");
  assert.match(entry.error ?? "", /no reason/);
});

test("several relays share the work and keep the order of each key", async (context) => {
  const { clock, bus, start, add } = await setUp(context);
  for (let n = 0; n < 300; n += 1) await add(n, `k${n % 7}`);
  const relays = [];
  for (let index = 0; index < 3; index += 1) relays.push(await start({ maxKeys: 2, maxRows: 8 }));
  await clock.advance(10_000);
  assert.equal(bus.events.length, 300);
  for (let key = 0; key < 7; key += 1) {
    const numbers = bus.numbers(`k${key}`) as number[];
    assert.deepEqual(
      numbers,
      numbers.toSorted((left, right) => left - right),
    );
  }
  for (const relay of relays) assert.ok((await relay.status()).published > 0);
});

test("a claim that ends without a word runs out, and another relay goes on", async (context) => {
  const { clock, client, bus, start, add } = await setUp(context);
  await add(1, "a");
  await add(2, "a");
  const rows = new OutboxRows(client, "cadre_outbox", clock);
  const request = { leaseMs: 30_000, maxHeads: 8, maxRows: 8 };
  assert.equal((await rows.claim({ ...request, token: "dead" }))?.rows.length, 2);
  await start();
  await clock.advance(29_000);
  assert.deepEqual(bus.numbers(), []);
  await clock.advance(2_000);
  assert.deepEqual(bus.numbers(), [1, 2]);
});

test("a late owner can mark, refuse, renew and release nothing", async (context) => {
  const { clock, client, add } = await setUp(context);
  await add(1, "a");
  const rows = new OutboxRows(client, "cadre_outbox", clock);
  const request = { leaseMs: 1_000, maxHeads: 8, maxRows: 8 };
  const late = await rows.claim({ ...request, token: "late" });
  await clock.advance(1_000);
  const now = await rows.claim({ ...request, token: "now" });
  assert.equal(now?.rows.length, 1);
  assert.equal(await rows.renew(late!, 1_000), false);
  assert.equal(await rows.published("late", late!.rows), 0);
  await rows.refused("late", late!.rows[0]!, { error: "x", pauseMs: 1, aside: true });
  await rows.release("late", late!.rows);
  assert.equal(await rows.renew(now, 1_000), true);
  assert.equal(await rows.published("now", now.rows), 1);
});

test("a claim takes no key whose first row another has, and no row behind one that waits", async (context) => {
  const { clock, client, add } = await setUp(context);
  for (const n of [1, 2, 3]) await add(n, "a");
  await add(4, "b");
  const rows = new OutboxRows(client, "cadre_outbox", clock);
  const one = await rows.claim({ token: "one", leaseMs: 1_000, maxHeads: 1, maxRows: 2 });
  assert.deepEqual(
    one?.rows.map(({ position }) => position),
    [1, 2],
  );
  const two = await rows.claim({ token: "two", leaseMs: 1_000, maxHeads: 8, maxRows: 8 });
  assert.deepEqual(
    two?.rows.map(({ position }) => position),
    [4],
  );
  assert.equal(await rows.claim({ token: "no", leaseMs: 1, maxHeads: 8, maxRows: 8 }), undefined);
});

test("a backlog that must wait does not hide what is behind it", async (context) => {
  const { clock, client, outbox, bus, start } = await setUp(context);
  const items = Array.from({ length: 5_000 }, (_, n) => ({
    type: "a.b",
    payload: { n },
    options: { key: "stuck" },
  }));
  await outbox.add(client, items);
  await outbox.add(client, { type: "a.b", payload: { n: -1 }, options: { key: "free" } });
  bus.refuse = never(0);
  await start();
  await clock.advance(1_000);
  assert.deepEqual(bus.numbers(), [-1]);
});

test("published rows are kept for a while and then deleted in batches", async (context) => {
  const { clock, client, outbox, start } = await setUp(context);
  const items = Array.from({ length: 3_000 }, (_, n) => ({ type: "a.b", payload: { n } }));
  await outbox.add(client, items);
  const relay = await start({ keepPublishedMs: 60_000, maxKeys: 1_024, maxRows: 1_024 });
  await clock.advance(50_000);
  assert.equal((await relay.status()).backlog?.published, 3_000);
  await clock.advance(40_000);
  const { backlog, cleaned } = await relay.status();
  assert.equal(backlog?.published, 0);
  assert.equal(cleaned, 3_000);
});

test("a claim is renewed while the bus is slow, so that nothing is published twice", async (context) => {
  const { clock, bus, start, add } = await setUp(context);
  for (let n = 0; n < 20; n += 1) await add(n, "a");
  const slow = {
    publishEvent: async (event: AgentEvent) => {
      await clock.sleep(400);
      await bus.publishEvent(event);
    },
    raise: () => {},
  };
  await start({ bus: slow, leaseMs: 1_500 });
  await start({ bus: slow, leaseMs: 1_500 });
  await clock.advance(30_000);
  assert.deepEqual(
    bus.numbers(),
    Array.from({ length: 20 }, (_, n) => n),
  );
});

test("close publishes what is in hand, gives the rest back, and may be called twice", async (context) => {
  const { clock, client, outbox, bus, start, add } = await setUp(context);
  for (let n = 0; n < 10; n += 1) await add(n, "a");
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  const slow = {
    publishEvent: async (event: AgentEvent) => (await gate, bus.publishEvent(event)),
    raise() {},
  };
  const relay = await start({ bus: slow });
  await clock.advance(100);
  const closing = relay.close();
  release();
  await closing;
  await relay.close();
  assert.deepEqual(bus.numbers(), [0]);
  const { rows } = await client.query("SELECT COUNT(*) AS n FROM cadre_outbox WHERE claim IS NULL");
  assert.equal(Number(rows[0]?.["n"]), 10);
  assert.equal((await outbox.backlog(client)).waiting, 9);
  assert.equal((await relay.status()).phase, "closed");
});

test("a database that fails is tried again, and what was claimed is given back", async (context) => {
  const { clock, client, bus, start, add } = await setUp(context);
  await add(1, "a");
  await add(2, "a");
  let fails = 0;
  const flaky: SqlDatabase = {
    ...client,
    query: (sql, params) => {
      if (fails > 0 && sql.includes("'published', done_at")) {
        fails -= 1;
        return Promise.reject(new Error("connection lost"));
      }
      return client.query(sql, params);
    },
  };
  fails = 1;
  const relay = await start({ client: flaky });
  await clock.advance(50);
  assert.match(String((await relay.status()).error), /connection lost/);
  await clock.advance(2_000);
  assert.deepEqual(bus.numbers(), [1, 1, 2]);
  assert.equal((await relay.status()).error, undefined);
});

test("a relay takes either a bus or a transport, and refuses impossible options", async () => {
  const outbox = createOutbox();
  const client = sqliteClient(new DatabaseSync(":memory:"));
  const start = (options: object) => async (): Promise<unknown> =>
    startOutboxRelay({ outbox, client, ...options });
  const bus = new KeepingBus();
  await assert.rejects(start({}), /either a bus or a transport/);
  await assert.rejects(start({ bus, transport: {} }), /either a bus or a transport/);
  await assert.rejects(start({ bus, onPoison: "drop" }), /onPoison/);
  await assert.rejects(start({ bus, leaseMs: 0 }), /leaseMs/);
});
