/** The memory store against a model of a few arrays, over random programs of commits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SeededRandom, VirtualClock, createEvent, isCadreError, memoryStore } from "cadre";
import type { AgentEvent, Commit, ErrorCode } from "cadre";

const seed = Number(process.env["CADRE_SEED"] ?? 20_260_401);
const names = ["a", "b", "c"];

interface Row {
  readonly id: string;
  readonly stream: string | undefined;
}

/** What the port promises, written down as plainly as can be. */
class Model {
  rows: readonly Row[] = [];
  slots: ReadonlyMap<string, readonly [value: string, version: number]> = new Map();

  version(stream: string, rows: readonly Row[] = this.rows): number {
    return rows.filter((row) => row.stream === stream).length;
  }

  commit({ appends = [], slots = [], outbox = [] }: Commit): ErrorCode | "ok" | "duplicate" {
    const parts = [
      ...appends,
      ...outbox.map((event) => ({ stream: undefined, expectedVersion: "any", events: [event] })),
    ];
    const ids = parts.flatMap(({ events }) => events.map(({ id }) => id));
    if (new Set(ids).size < ids.length) return "DUPLICATE_ID";
    let present = 0;
    for (const { stream, events } of parts) {
      const found = events.map(({ id }) => this.rows.find((row) => row.id === id));
      if (found.some((row) => row && row.stream !== stream)) return "DUPLICATE_ID";
      const there = found.filter((row) => row !== undefined).length;
      if (there > 0 && there < events.length) return "DUPLICATE_ID";
      present += there;
    }
    if (ids.length > 0 && present === ids.length) return "duplicate";
    const rows = [...this.rows];
    for (const { stream, expectedVersion, events } of parts) {
      if (events.length > 0 && rows.some(({ id }) => id === events[0]!.id)) continue;
      const version = stream === undefined ? "any" : this.version(stream, rows);
      if (expectedVersion !== "any" && expectedVersion !== version) return "VERSION_CONFLICT";
      rows.push(...events.map(({ id }) => ({ id, stream })));
    }
    const next = new Map(this.slots);
    for (const { name, expectedVersion, value } of slots) {
      const version = next.get(name)?.[1] ?? 0;
      if (expectedVersion !== "any" && expectedVersion !== version) return "VERSION_CONFLICT";
      if (value === undefined) next.delete(name);
      else next.set(name, [value, version + 1]);
    }
    this.rows = rows;
    this.slots = next;
    return "ok";
  }
}

const expected = fc.oneof(
  { arbitrary: fc.constant("any" as const), weight: 2 },
  { arbitrary: fc.nat(4), weight: 3 },
);
// Events are drawn from a small pool, so that ids come again in every way there is.
const pool = fc.array(fc.nat(30), { maxLength: 3 });
const program = fc.array(
  fc.record({
    appends: fc.array(
      fc.record({ stream: fc.constantFrom(...names), expectedVersion: expected, events: pool }),
      { maxLength: 2 },
    ),
    slots: fc.array(
      fc.record({
        name: fc.constantFrom(...names),
        expectedVersion: expected,
        value: fc.option(fc.constantFrom("x", "y"), { nil: undefined }),
      }),
      { maxLength: 2 },
    ),
    outbox: fc.array(fc.nat(30), { maxLength: 1 }),
  }),
  { maxLength: 40 },
);

test("every program of commits has the outcomes, log and slots of the model", async () => {
  const clock = new VirtualClock();
  const random = new SeededRandom(seed);
  const events: readonly AgentEvent[] = Array.from({ length: 31 }, (_, number) =>
    createEvent({ clock, random, source: "test" }, "test.noted", { number }),
  );
  const outcomes = new Set<string>();
  const property = fc.asyncProperty(program, async (commits) => {
    const model = new Model();
    const store = memoryStore({ clock, pageSize: 3 });
    for (const { appends, slots, outbox } of commits) {
      const commit: Commit = {
        appends: appends.map((each) => ({ ...each, events: each.events.map((n) => events[n]!) })),
        slots,
        outbox: outbox.map((n) => events[n]!),
      };
      const outcome = await store.commit(commit).then(
        ({ duplicate }) => (duplicate ? "duplicate" : "ok"),
        (error: unknown) => (isCadreError(error) ? error.code : String(error)),
      );
      assert.equal(outcome, model.commit(commit));
      outcomes.add(outcome);
    }
    const rows: Row[] = [];
    for await (const { event, stream } of store.read()) rows.push({ id: event.id, stream });
    assert.deepEqual(rows, model.rows);
    for (const stream of names) {
      assert.equal(await store.version(stream), model.version(stream));
    }
    assert.deepEqual(
      (await store.slots("")).map(({ name, value, version }) => [name, [value, version]]),
      [...model.slots].toSorted(([left], [right]) => (left < right ? -1 : 1)),
    );
  });
  await fc.assert(property, { seed, numRuns: 300 });
  assert.deepEqual([...outcomes].toSorted(), [
    "DUPLICATE_ID",
    "VERSION_CONFLICT",
    "duplicate",
    "ok",
  ]);
});
