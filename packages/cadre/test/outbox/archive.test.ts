/** The archive on a carrier in memory and on stores in memory and in a file. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import {
  CadreError,
  createBus,
  createEvent,
  isCadreError,
  memory,
  memoryCarrier,
  memoryStore,
  secureRandom,
  systemClock,
  type AgentEvent,
  type DeadLetter,
  type DeadLetterBox,
  type EventStore,
  type Lease,
  type Transport,
} from "cadre";
import { startArchive, verifyArchive, withArchive } from "cadre/outbox";
import { openSqlite } from "cadre/sqlite";
import { until } from "../until.ts";
import { changed } from "../changed.ts";
import { withTempFolder } from "../servers/temporary.ts";

function eventOf(type: string, payload: unknown = {}, id?: string): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source: "tester" };
  return createEvent(context, type, payload, id === undefined ? {} : { id });
}

async function publish(transport: Transport, events: readonly AgentEvent[]): Promise<void> {
  const results = await transport.publish(events.map((event) => ({ event })));
  assert.ok(results.every(({ ok }) => ok));
}

async function idsIn(store: EventStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const { event } of store.read()) ids.push(event.id);
  return ids;
}

async function historyOf(transport: Transport): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const { event } of transport.read!({})) if (event) events.push(event);
  return events;
}

test("what passes the bus is in the store, in the order in which it was published", async () => {
  const [transport, store] = [memory(), memoryStore()];
  await using archive = await startArchive({ transport, store });
  const events = Array.from({ length: 500 }, (_, n) => eventOf("task.created", { n }));
  await publish(transport, events);
  await until(async () => (await archive.status()).archived === 500);
  assert.deepEqual(
    await idsIn(store),
    events.map(({ id }) => id),
  );
  const status = await archive.status();
  assert.equal(status.phase, "active");
  assert.equal(status.duplicates, 0);
  assert.equal(status.position, await store.head());
  await transport.close();
});

test("an event is kept with every field that it has", async () => {
  await withTempFolder(async (folder) => {
    const { store, close } = await openSqlite(`sqlite:${join(folder, "archive.db")}`);
    const transport = memory();
    const archive = await startArchive({ transport, store, patterns: ["a.#", "b.*"] });
    const kept = eventOf("a.b.c", { deep: [1, { ä: null }] });
    await publish(transport, [kept, eventOf("c.d"), eventOf("b.c.d"), eventOf("b.c")]);
    await until(async () => (await archive.status()).archived === 2);
    for await (const { event, private: isPrivate } of store.read({ id: kept.id })) {
      assert.deepEqual(event, kept);
      assert.equal(isPrivate, true, "a relay must not tell it to the bus again");
    }
    assert.equal((await idsIn(store)).length, 2);
    await archive.close();
    await close();
    await transport.close();
  });
});

test("an event that is in the store already is not doubled", async () => {
  const [transport, store] = [memory(), memoryStore()];
  const told = eventOf("task.created", { n: 1 });
  await store.commit({ appends: [{ stream: "task/1", expectedVersion: 0, events: [told] }] });
  await using archive = await startArchive({ transport, store });
  const fresh = eventOf("task.created", { n: 2 });
  await publish(transport, [told, fresh, told]);
  await until(async () => (await archive.status()).duplicates === 2);
  assert.deepEqual(await idsIn(store), [told.id, fresh.id]);
  assert.equal((await archive.status()).archived, 1);
  await transport.close();
});

test("another event under an id that is taken is kept as a record", async () => {
  const [transport, store] = [memory(), memoryStore()];
  await using archive = await startArchive({ transport, store });
  const first = eventOf("note.written", { text: "one" }, "same");
  const second = eventOf("note.written", { text: "two" }, "same");
  await publish(transport, [first]);
  await until(async () => (await archive.status()).archived === 1);
  await publish(transport, [second]);
  await publish(transport, [second]);
  await until(async () => (await archive.status()).records === 1);
  assert.deepEqual(await historyOf(withArchive(transport, store)), [first, second]);
  await transport.close();
});

test("what holds no event is kept with its bytes", async () => {
  const store = memoryStore();
  const settled: string[] = [];
  const bytes = Buffer.from("no event \u0000 at all");
  const odd = (): Lease => ({
    recorded: {
      position: "7",
      recordedAt: 1_000,
      undecodable: { bytes, reason: "it is no JSON" },
    },
    attempt: 1,
    settle: async ({ kind }) => {
      settled.push(kind);
      return "ok";
    },
    extend: async () => "ok",
  });
  const transport = handing([[odd()], [odd()]]);
  await using archive = await startArchive({ transport, store });
  await until(() => settled.length === 2);
  assert.deepEqual(settled, ["ack", "ack"]);
  assert.equal((await archive.status()).records, 1, "the second was the same delivery again");
  const records = [];
  for await (const recorded of withArchive(transport, store).read!({})) records.push(recorded);
  assert.equal(records.length, 1);
  assert.deepEqual(records[0]!.undecodable, { bytes, reason: "it is no JSON" });
});

/** A carrier that hands out these, one list a pull. */
function handing(pulls: Lease[][]): Transport {
  const base = memory();
  return {
    ...carrierParts(base),
    open: async () => ({
      pull: async (_max, signal) => {
        const next = pulls.shift();
        if (next) return next;
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        return [];
      },
      close: async () => {},
    }),
  };
}

function boxOf(letters: DeadLetter[]): DeadLetterBox {
  return {
    put: async (letter) => void letters.push(letter),
    get: async () => undefined,
    list: async function* () {},
    remove: async () => false,
  };
}

/** A store that takes all but what is bad. */
function refusing(inner: EventStore, isBad: (event: AgentEvent) => boolean): EventStore {
  const commit: EventStore["commit"] = async (work) => {
    if (work.appends?.some(({ events }) => events.some((event) => isBad(event)))) {
      throw new CadreError("TOO_LARGE", "too large", { bytes: 2, maxBytes: 1 });
    }
    return inner.commit(work);
  };
  return changed(inner, { commit });
}

function carrierParts(base: Transport): Transport {
  return {
    name: base.name,
    capabilities: base.capabilities,
    publish: (batch) => base.publish(batch),
    open: (spec) => base.open(spec),
    close: () => base.close(),
  };
}

test("while the store refuses nothing is acked, and afterwards all of it is there", async () => {
  const [transport, inner] = [memory(), memoryStore()];
  const errors: unknown[] = [];
  let refusals = 3;
  const store = changed(inner, {
    commit: async (commit) => {
      refusals -= 1;
      if (refusals >= 0) throw new CadreError("STORE_FULL", "full", { path: "here" });
      return inner.commit(commit);
    },
  });
  await using archive = await startArchive({
    transport,
    store,
    minRetryMs: 5,
    leaseMs: 60,
    onError: (error) => errors.push(error),
  });
  const events = Array.from({ length: 20 }, () => eventOf("task.created"));
  await publish(transport, events);
  await until(() => errors.length > 0);
  await until(async () => (await archive.status()).archived === 20);
  assert.deepEqual(
    await idsIn(inner),
    events.map(({ id }) => id),
  );
  assert.equal(errors.length, 3);
  assert.ok(errors.every((error) => isCadreError(error, "STORE_FULL")));
  assert.deepEqual(await archive.health(), { ok: true });
  await transport.close();
});

test("an event that the store can never take is a dead letter, and the others are kept", async () => {
  const [carrier, inner] = [memoryCarrier(), memoryStore()];
  const letters: DeadLetter[] = [];
  const transport = { ...carrierParts(carrier.connect()), deadLetters: boxOf(letters) };
  const bad = eventOf("task.created", { bad: true });
  const store = refusing(inner, ({ id }) => id === bad.id);
  await using archive = await startArchive({ transport, store });
  const good = [eventOf("task.created"), eventOf("task.created")];
  await publish(transport, [good[0]!, bad, good[1]!]);
  await until(async () => (await archive.status()).refused === 1);
  await until(async () => (await archive.status()).archived === 2);
  assert.deepEqual(
    letters.map(({ id }) => id),
    [`archive/${bad.id}`],
  );
  await transport.close();
});

test("two archivers of one group share the work and double nothing", async () => {
  const [carrier, store] = [memoryCarrier(), memoryStore()];
  const [one, other] = [carrier.connect(), carrier.connect()];
  const archives = [
    await startArchive({ transport: one, store, batch: 5 }),
    await startArchive({ transport: other, store, batch: 5 }),
  ];
  const events = Array.from({ length: 300 }, () => eventOf("task.created"));
  await publish(one, events);
  await until(async () => (await idsIn(store)).length === 300);
  assert.deepEqual(new Set(await idsIn(store)), new Set(events.map(({ id }) => id)));
  for (const archive of archives) await archive.close();
  await Promise.all([one.close(), other.close()]);
});

test("history and replay of a bus read the archive, and leave out what never passed", async () => {
  const [carrier, store] = [memory(), memoryStore()];
  const hidden = eventOf("step.planned");
  const told = eventOf("task.created", { n: 0 });
  await store.commit({
    appends: [
      { stream: "task/1", expectedVersion: 0, events: [hidden], private: true },
      { stream: "task/2", expectedVersion: 0, events: [told] },
    ],
  });
  await using archive = await startArchive({ transport: carrier, store });
  await using bus = createBus({ transport: withArchive(carrier, store) });
  assert.equal(bus.capabilities.history, "log");
  for (let n = 1; n <= 3; n += 1) await bus.publish("task.created", { n });
  await until(async () => (await archive.status()).archived === 3);
  const payloads: unknown[] = [];
  for await (const { payload } of bus.history({ type: "task.#" })) payloads.push(payload);
  assert.deepEqual(payloads, [{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3 }]);
  const limited: unknown[] = [];
  for await (const { type } of bus.history({ limit: 1 })) limited.push(type);
  assert.deepEqual(limited, ["task.created"], "what never passed does not count");
  const replayed: string[] = [];
  const count = await bus.replay(
    {},
    { to: (event) => void replayed.push(event.metadata.replayOf!) },
  );
  assert.equal(count, 4);
  assert.equal(replayed[0], told.id);
});

test("positions of the archive's history go on where they were", async () => {
  const [carrier, store] = [memory(), memoryStore()];
  const archive = await startArchive({ transport: carrier, store });
  const events = Array.from({ length: 10 }, (_, n) => eventOf("task.created", { n }));
  await publish(carrier, events);
  await until(async () => (await archive.status()).archived === 10);
  const whole = withArchive(carrier, store);
  const read = async (query: object): Promise<(string | undefined)[]> => {
    const ids = [];
    for await (const { event } of whole.read!(query)) ids.push(event?.id);
    return ids;
  };
  const positions = [];
  for await (const { position } of whole.read!({})) positions.push(position);
  const ids = events.map(({ id }) => id);
  assert.deepEqual(await read({ after: positions[3] }), ids.slice(4));
  assert.deepEqual(await read({ before: positions[3] }), ids.slice(0, 3));
  assert.deepEqual(await read({ backward: true, limit: 2 }), [ids[9], ids[8]]);
  await assert.rejects(read({ after: "x" }), (error) => isCadreError(error, "INVALID_OPTION"));
  await archive.close();
  await carrier.close();
});

test("a gap in the archive is named", async () => {
  const [transport, store] = [memory(), memoryStore()];
  const before = eventOf("task.created");
  await publish(transport, [before]);
  const archive = await startArchive({ transport, store });
  await publish(transport, [eventOf("task.created")]);
  await until(async () => (await archive.status()).archived === 1);
  const found = await verifyArchive({ transport, store });
  assert.deepEqual(found, { ok: false, checked: 2, missing: 1, ids: [before.id] });
  await archive.close();
  const healed = await startArchive({ transport, store, group: "again", from: "earliest" });
  await until(async () => (await verifyArchive({ transport, store })).ok);
  assert.equal((await healed.status()).archived, 1);
  await healed.close();
  await transport.close();
});

test("what cannot be is refused at the start", async () => {
  await withTempFolder(async (folder) => {
    const { store, transport, close } = await openSqlite(`sqlite:${join(folder, "one.db")}`);
    const isRefused = (error: unknown): boolean => isCadreError(error, "INVALID_OPTION");
    await assert.rejects(startArchive({ transport, store }), isRefused);
    await close();
  });
  const parts = { transport: memory(), store: memoryStore() };
  const refused = (code: "INVALID_OPTION" | "INVALID_PATTERN") => (error: unknown) =>
    isCadreError(error, code);
  await assert.rejects(startArchive({ ...parts, batch: 0 }), refused("INVALID_OPTION"));
  await assert.rejects(startArchive({ ...parts, patterns: "a..b" }), refused("INVALID_PATTERN"));
  const first = await startArchive(parts);
  await assert.rejects(startArchive({ ...parts, patterns: "a.#" }), (error) =>
    isCadreError(error, "GROUP_MISMATCH"),
  );
  await first.close();
  await first.close();
  assert.equal((await first.status()).phase, "closed");
  const plain = carrierParts(parts.transport);
  await assert.rejects(verifyArchive({ transport: plain, store: parts.store }), (error) =>
    isCadreError(error, "UNSUPPORTED"),
  );
  await parts.transport.close();
});

test("bytes that the store can never take are a dead letter, and the others are kept", async () => {
  const inner = memoryStore();
  const settled: string[] = [];
  const leaseOf = (recorded: Lease["recorded"]): Lease => ({
    recorded,
    attempt: 3,
    settle: async ({ kind }) => {
      settled.push(`${recorded.position} ${kind}`);
      return "ok";
    },
    extend: async () => "ok",
  });
  const bytes = Buffer.from("very much that is no event");
  const good = eventOf("task.created");
  const letters: DeadLetter[] = [];
  const transport: Transport = {
    ...handing([
      [
        leaseOf({ position: "7", recordedAt: 1, undecodable: { bytes, reason: "no JSON" } }),
        leaseOf({ position: "8", recordedAt: 2, event: good }),
      ],
    ]),
    deadLetters: boxOf(letters),
  };
  const store = refusing(inner, ({ type }) => type === "archive.undecodable");
  await using archive = await startArchive({ transport, store, minRetryMs: 1 });
  await until(() => settled.length === 2);
  assert.deepEqual(await idsIn(inner), [good.id]);
  assert.equal((await archive.status()).refused, 1);
  const [letter] = letters;
  assert.equal(letter?.id, "archive/7");
  assert.equal(letter?.bytes, bytes.toString("base64"));
});
