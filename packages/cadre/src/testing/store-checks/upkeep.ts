import assert from "node:assert/strict";
import type { AgentEvent } from "../../core/event.ts";
import type { EventStore, InspectedRow, LogRange, StoredEvent } from "../../store/event-store.ts";
import { rowLine } from "../../store/row-line.ts";
import { appendTo, contents, readAll, refuses, type StoreCheck } from "../store-check.ts";

async function inspected(store: EventStore, range?: LogRange): Promise<InspectedRow[]> {
  const found: InspectedRow[] = [];
  for await (const row of store.inspect(range)) found.push(row);
  return found;
}

function lines(rows: readonly StoredEvent[]): readonly string[] {
  return rows.map(rowLine);
}

/** Two streams and events of none, one of them private. */
async function fill(store: EventStore, event: () => AgentEvent): Promise<readonly StoredEvent[]> {
  await store.commit(appendTo("a", 0, event(), event(), event()));
  await store.commit({
    appends: [{ stream: "b/1", expectedVersion: 0, events: [event(), event()], private: true }],
    outbox: [event(), event()],
  });
  await store.commit(appendTo("a", 3, event()));
  return readAll(store);
}

export const upkeepChecks: readonly StoreCheck[] = [
  {
    id: "S-31",
    name: "removed events are gone from every query; streams keep their versions, others their places",
    async run({ store, event }) {
      const before = await fill(store, event);
      const gone = [before[0]!, before[1]!, before[4]!, before[5]!];
      const removals = [...gone.map(({ position }) => position), before.at(-1)!.position + 500];
      const record = event();
      const { position } = await store.commit({ ...appendTo("record", 0, record), removals });
      assert.ok(position > before.at(-1)!.position);
      const left = before.filter((row) => !gone.includes(row));
      assert.deepEqual(lines((await readAll(store)).slice(0, -1)), lines(left));
      const backward = await readAll(store, { backward: true });
      assert.deepEqual(lines(backward.toReversed().slice(0, -1)), lines(left));
      assert.deepEqual(
        (await readAll(store, { stream: "a", fromVersion: 2 })).map(({ version }) => version),
        [3, 4],
      );
      for (const { event: removed } of gone) {
        assert.deepEqual(await readAll(store, { id: removed.id }), []);
        const { correlationId } = removed.metadata;
        assert.deepEqual(await readAll(store, { correlationId }), []);
      }
      assert.equal(await store.version("a"), 4);
      assert.equal(await store.version("b/1"), 2);
      await refuses(
        "VERSION_CONFLICT",
        "an old version",
        store.commit(appendTo("b/1", 0, event())),
      );
      const { versions } = await store.commit(appendTo("b/1", 2, event()));
      assert.deepEqual(versions, [3]);
    },
  },
  {
    id: "S-32",
    name: "no position is used again, even when the whole log was removed; its ids are free again",
    async run({ store, event }) {
      const before = await fill(store, event);
      const head = await store.head();
      const removals = before.map(({ position }) => position);
      const { position } = await store.commit({ outbox: [event()], removals });
      assert.ok(position > head);
      assert.equal((await readAll(store)).length, 1);
      const again = await store.commit({ outbox: [before[5]!.event] });
      assert.equal(again.duplicate, false);
      assert.ok(again.position > position);
    },
  },
  {
    id: "S-33",
    name: "a removal without a record, or of what is no position, is refused; one whose commit fails removes nothing",
    async run({ store, event }) {
      await fill(store, event);
      const before = await contents(store);
      await refuses("INVALID_OPTION", "no record", store.commit({ removals: [1] }));
      for (const bad of [0, -1, 1.5, Number.NaN]) {
        const commit = { outbox: [event()], removals: [bad] };
        await refuses("INVALID_OPTION", `position ${bad}`, store.commit(commit));
      }
      const many = Array.from({ length: 1_001 }, (_, index) => index + 1);
      await refuses(
        "INVALID_OPTION",
        "too many",
        store.commit({ outbox: [event()], removals: many }),
      );
      await refuses(
        "VERSION_CONFLICT",
        "fenced",
        store.commit({
          outbox: [event()],
          removals: [1],
          slots: [{ name: "guard", expectedVersion: 7, value: "" }],
        }),
      );
      assert.deepEqual(await contents(store), before);
    },
  },
  {
    id: "S-34",
    name: "inspection shows every row of the range, without a fault",
    async run({ store, event }) {
      const rows = await fill(store, event);
      const all = await inspected(store);
      assert.deepEqual(lines(all.map(({ stored }) => stored!)), lines(rows));
      assert.deepEqual(
        all.map(({ fault }) => fault).filter((fault) => fault !== undefined),
        [],
      );
      const range = { after: rows[1]!.position, upTo: rows[5]!.position };
      const part = await inspected(store, range);
      assert.deepEqual(
        part.map(({ position }) => position),
        rows.slice(2, 6).map(({ position }) => position),
      );
    },
  },
  {
    id: "S-35",
    name: "restored rows keep positions, versions and times; restoring them again writes nothing",
    async run({ store, event }) {
      const at = Math.floor(event().timestamp);
      const rows: readonly StoredEvent[] = [
        { position: 3, event: event(), recordedAt: at + 0.5 },
        { position: 4, event: event(), stream: "a", version: 5, private: true, recordedAt: at + 1 },
        { position: 90, event: event(), stream: "a", version: 6, recordedAt: at + 1 },
        { position: 91, event: event(), directed: true, recordedAt: at + 9_000_000 },
      ];
      assert.equal(await store.restore(rows), 4);
      assert.deepEqual(lines(await readAll(store)), lines(rows));
      assert.equal(await store.restore(rows), 0);
      assert.equal(await store.restore([]), 0);
      assert.equal(await store.head(), 91);
      assert.equal(await store.version("a"), 6);
      assert.deepEqual(
        (await inspected(store)).map(({ fault }) => fault).filter((fault) => fault !== undefined),
        [],
      );
      const { position, versions } = await store.commit(appendTo("a", 6, event()));
      assert.ok(position > 91);
      assert.deepEqual(versions, [7]);
      const last = (await readAll(store)).at(-1)!;
      assert.ok(last.recordedAt >= at + 9_000_000, "the log's time goes back");
    },
  },
  {
    id: "S-36",
    name: "a row that does not fit is refused, naming its position, and nothing of its batch is written",
    async run({ store, event }) {
      await fill(store, event);
      const rows = await readAll(store);
      const before = await contents(store);
      const head = await store.head();
      const recordedAt = rows.at(-1)!.recordedAt;
      const good = { position: head + 1, event: event(), recordedAt };
      const bad: readonly StoredEvent[] = [
        { position: head, event: event(), recordedAt },
        { position: head + 2, event: rows[0]!.event, recordedAt },
        { ...rows[2]!, event: { ...rows[2]!.event, payload: { other: true } } },
        { position: head + 1, event: event(), recordedAt },
        { position: head + 2, event: good.event, recordedAt },
        { position: head + 2, event: event(), stream: "a", version: 4, recordedAt },
        { position: head + 2, event: event(), recordedAt: recordedAt - 1 },
      ];
      for (const [index, row] of bad.entries()) {
        const what = `row ${index}`;
        const details = await refuses("IMPORT_CONFLICT", what, store.restore([good, row]));
        assert.equal((details as { position: number }).position, row.position, what);
      }
      const unfit = { position: head + 2, event: event(), stream: "a", recordedAt };
      await refuses("INVALID_OPTION", "no version", store.restore([good, unfit]));
      await refuses("INVALID_OPTION", "position", store.restore([good, { ...good, position: 0 }]));
      assert.deepEqual(await contents(store), before);
    },
  },
  {
    id: "S-37",
    name: "usage counts what is there, by type when asked",
    async run({ store, event }) {
      await store.commit({
        ...appendTo("a", 0, event("suite.noted", "four"), event("suite.noted", "more")),
        outbox: [event("suite.other", "ä longer text")],
        slots: [{ name: "s", expectedVersion: 0, value: "v" }],
      });
      const { head, events, streams, slots, types } = await store.usage();
      assert.deepEqual([head, events, streams, slots, types], [3, 3, 1, 1, undefined]);
      const detailed = await store.usage({ byType: true });
      assert.deepEqual(detailed.types, [
        { type: "suite.other", events: 1, payloadBytes: 16 },
        { type: "suite.noted", events: 2, payloadBytes: 12 },
      ]);
      await store.commit({ outbox: [event()], removals: [1] });
      assert.equal((await store.usage()).events, 3);
      assert.deepEqual(await store.holds(), []);
    },
  },
  {
    id: "S-38",
    name: "a closed store refuses upkeep",
    async run({ store, event }) {
      await fill(store, event);
      const rows = await readAll(store);
      await store.close();
      await refuses("CLOSED", "inspect", inspected(store));
      await refuses("CLOSED", "restore", store.restore(rows));
      await refuses("CLOSED", "holds", store.holds());
      await refuses("CLOSED", "usage", store.usage());
    },
  },
];
