import assert from "node:assert/strict";
import { systemClock } from "../../core/clock.ts";
import type { AgentEvent } from "../../core/event.ts";
import { compilePattern } from "../../core/pattern.ts";
import type { Random } from "../../core/random.ts";
import type { EventStore, StoredEvent, StoreQuery } from "../../store/event-store.ts";
import { appendTo, readAll, refuses } from "../store-check.ts";
import type { StoreCheck, StoreCheckContext } from "../store-check.ts";

const types = ["task.created", "task.done", "task.done.late", "agent.online", "note"];
const patterns = ["#", "task.*", "task.#", "*.done", "note", "#.late", "nothing.here"];
const sources = ["reader", "editor"];
const streams = ["task/1", "task/2", "task/10", "agent/reader"];

/** What the query must answer, by its definition, the slow way. */
function reference(log: readonly StoredEvent[], query: StoreQuery): readonly StoredEvent[] {
  const matches = compilePattern(query.type ?? "#");
  const found = log.filter(
    ({ event, position, stream, version }) =>
      (query.stream === undefined || stream === query.stream) &&
      (query.streamPrefix === undefined || stream?.startsWith(query.streamPrefix)) &&
      (query.fromVersion === undefined || (version ?? 0) >= query.fromVersion) &&
      (query.after === undefined || position > query.after) &&
      (query.upTo === undefined || position <= query.upTo) &&
      (query.id === undefined || event.id === query.id) &&
      (query.source === undefined || event.source === query.source) &&
      (query.since === undefined || event.timestamp >= query.since) &&
      (query.until === undefined || event.timestamp < query.until) &&
      (query.correlationId === undefined || event.metadata.correlationId === query.correlationId) &&
      matches(event.type),
  );
  if (query.backward) found.reverse();
  return found.slice(0, query.limit);
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[random.integer(items.length)]!;
}

/** Some 120 events of all kinds; timestamps go up and down, as those of several machines do. */
async function fill({ store, random, event }: StoreCheckContext): Promise<readonly AgentEvent[]> {
  const written: AgentEvent[] = [];
  for (let round = 0; round < 40; round += 1) {
    const cause = written.length > 0 && random.next() < 0.5 ? pick(random, written) : undefined;
    const events = Array.from({ length: 1 + random.integer(4) }, () => ({
      ...event(
        pick(random, types),
        { round },
        { source: pick(random, sources), ...(cause && { cause }) },
      ),
      timestamp: 1_000 + random.integer(100),
    }));
    written.push(...events);
    const target = random.integer(streams.length + 1);
    const stream = streams[target];
    await store.commit(
      stream === undefined
        ? { outbox: events }
        : { appends: [{ stream, expectedVersion: "any", events, private: target === 0 }] },
    );
  }
  return written;
}

function randomQuery(random: Random, log: readonly StoredEvent[]): StoreQuery {
  const maybe = <Value>(chance: number, value: () => Value): Value | undefined =>
    random.next() < chance ? value() : undefined;
  const stream = maybe(0.3, () => pick(random, [...streams, "task/none"]));
  const query: Record<string, unknown> = {
    stream,
    fromVersion: stream === undefined ? undefined : maybe(0.5, () => random.integer(12)),
    streamPrefix: maybe(0.2, () => pick(random, ["task/", "task/1", "agent/", "x"])),
    after: maybe(0.3, () => pick(random, log).position),
    upTo: maybe(0.3, () => pick(random, log).position),
    type: maybe(0.4, () => pick(random, patterns)),
    source: maybe(0.2, () => pick(random, [...sources, "nobody"])),
    correlationId: maybe(0.2, () => pick(random, log).event.metadata.correlationId),
    id: maybe(0.1, () => pick(random, log).event.id),
    since: maybe(0.2, () => 1_000 + random.integer(100)),
    until: maybe(0.2, () => 1_000 + random.integer(100)),
    backward: maybe(0.5, () => random.next() < 0.8),
    limit: maybe(0.4, () => random.integer(20)),
  };
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));
}

async function fillLong(store: EventStore, event: () => AgentEvent, count: number): Promise<void> {
  for (let written = 0; written < count; written += 250) {
    const events = Array.from({ length: Math.min(250, count - written) }, event);
    await store.commit(appendTo("long", "any", ...events));
  }
}

export const readChecks: readonly StoreCheck[] = [
  {
    id: "S-10",
    name: "a read answers every combination of its conditions, forward and backward, as defined",
    async run(context) {
      const { store, random } = context;
      const written = await fill(context);
      const log = await readAll(store);
      const ids = (events: readonly StoredEvent[]): string[] => events.map(({ event }) => event.id);
      assert.deepEqual(
        ids(log),
        written.map(({ id }) => id),
      );
      for (let round = 0; round < 300; round += 1) {
        const query = randomQuery(random, log);
        assert.deepEqual(
          ids(await readAll(store, query)),
          ids(reference(log, query)),
          JSON.stringify(query),
        );
      }
    },
  },
  {
    id: "S-11",
    name: "positions increase, versions have no gaps, recordedAt never goes back, privacy is kept",
    async run(context) {
      await fill(context);
      const versions = new Map<string, number>();
      let position = 0;
      let recordedAt = 0;
      for await (const stored of context.store.read()) {
        assert.ok(stored.position > position);
        assert.ok(stored.recordedAt >= recordedAt);
        ({ position, recordedAt } = stored);
        assert.equal(stored.private ?? false, stored.stream === streams[0]);
        if (stored.stream === undefined) {
          assert.equal(stored.version, undefined);
          continue;
        }
        assert.equal(stored.version, (versions.get(stored.stream) ?? 0) + 1);
        versions.set(stored.stream, stored.version);
      }
      assert.equal(await context.store.head(), position);
      for (const stream of streams) {
        assert.equal(await context.store.version(stream), versions.get(stream) ?? 0);
      }
    },
  },
  {
    id: "S-12",
    name: "the log as of a position, and a stream as of a version, never change",
    async run(context) {
      const { store } = context;
      await fill(context);
      const upTo = Math.ceil((await store.head()) / 2);
      const before = await readAll(store, { upTo });
      const stream = await readAll(store, { stream: "task/1", limit: 5 });
      await fill(context);
      assert.deepEqual(await readAll(store, { upTo }), before);
      assert.deepEqual(await readAll(store, { stream: "task/1", limit: 5 }), stream);
      const after = await readAll(store, { after: upTo });
      assert.deepEqual([...before, ...after], await readAll(store));
    },
  },
  {
    id: "S-13",
    name: "a long read lets timers run, keeps its order, and may be left early",
    async run({ store, event }) {
      await fillLong(store, () => event("suite.noted", { text: "x".repeat(100) }), 4_000);
      let turns = 0;
      let reading = true;
      const ticking = (async () => {
        for (; reading; turns += 1) await systemClock.yield();
      })();
      let count = 0;
      let position = 0;
      for await (const stored of store.read()) {
        assert.ok(stored.position > position);
        position = stored.position;
        count += 1;
      }
      reading = false;
      await ticking;
      assert.equal(count, 4_000);
      assert.ok(turns > 1, "the loop did not turn during the read");
      for (let round = 0; round < 20; round += 1) {
        for await (const stored of store.read({ backward: round % 2 === 1 })) {
          assert.equal(stored.version, round % 2 === 1 ? 4_000 : 1);
          break;
        }
      }
      await store.commit(appendTo("long", 4_000, event()));
    },
  },
  {
    id: "S-14",
    name: "a read that is under way stays complete and ordered while others write",
    async run({ store, event }) {
      await fillLong(store, () => event(), 1_500);
      let read = 0;
      let position = 0;
      for await (const stored of store.read({ stream: "long" })) {
        assert.ok(stored.position > position);
        position = stored.position;
        read += 1;
        assert.equal(stored.version, read);
        if (read % 500 === 0 && read <= 1_500) await store.commit(appendTo("long", "any", event()));
      }
      assert.ok(read >= 1_500 && read <= 1_503, `${read} events`);
    },
  },
  {
    id: "S-15",
    name: "a query that no store could answer is refused, naming the condition",
    async run({ store }) {
      const bad: readonly [Parameters<typeof refuses>[0], StoreQuery][] = [
        ["INVALID_OPTION", { limit: -1 }],
        ["INVALID_OPTION", { limit: 1.5 }],
        ["INVALID_OPTION", { after: Number.NaN }],
        ["INVALID_OPTION", { since: Number.POSITIVE_INFINITY }],
        ["INVALID_OPTION", { fromVersion: 2 }],
        ["INVALID_PATTERN", { type: "task..done" }],
        ["INVALID_PATTERN", { type: "task*" }],
      ];
      for (const [code, query] of bad) {
        await refuses(code, JSON.stringify(query), readAll(store, query));
      }
    },
  },
];
