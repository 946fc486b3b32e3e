import assert from "node:assert/strict";
import type { Commit } from "../../core/commit.ts";
import { isCadreError } from "../../core/errors.ts";
import { withMetadata } from "../../core/event.ts";
import type { CommitResult } from "../../store/event-store.ts";
import { appendTo, contents, readAll, refuses, type StoreCheck } from "../store-check.ts";

const racers = 8;

async function outcomes(attempts: readonly Promise<CommitResult>[]): Promise<{
  readonly won: readonly CommitResult[];
  readonly lost: readonly unknown[];
}> {
  const settled = await Promise.allSettled(attempts);
  return {
    won: settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : [])),
    lost: settled.flatMap((each) => (each.status === "rejected" ? [each.reason as unknown] : [])),
  };
}

export const appendChecks: readonly StoreCheck[] = [
  {
    id: "S-01",
    name: "of 8 racers with one expected version one wins; the others are told the version",
    async run({ store, peer, event }) {
      const other = await peer(store);
      for (let round = 0; round < 10; round += 1) {
        const { won, lost } = await outcomes(
          Array.from({ length: racers }, (_, index) =>
            (index % 2 ? other : store).commit(appendTo("race", round, event())),
          ),
        );
        assert.deepEqual(
          won.map(({ versions }) => versions),
          [[round + 1]],
        );
        assert.equal(lost.length, racers - 1);
        for (const error of lost) {
          assert.ok(isCadreError(error, "VERSION_CONFLICT"), String(error));
          assert.deepEqual(error.details, { stream: "race", expected: round, actual: round + 1 });
        }
      }
      const versions = (await readAll(store, { stream: "race" })).map(({ version }) => version);
      assert.deepEqual(versions, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    },
  },
  {
    id: "S-02",
    name: "an expected version is exact; 0 means no stream, any takes what comes",
    async run({ store, event }) {
      await refuses("VERSION_CONFLICT", "too new", store.commit(appendTo("a", 1, event())));
      assert.equal(await store.version("a"), 0);
      const first = await store.commit(appendTo("a", 0, event(), event()));
      assert.deepEqual(first.versions, [2]);
      assert.equal(first.duplicate, false);
      await refuses("VERSION_CONFLICT", "exists", store.commit(appendTo("a", 0, event())));
      await refuses("VERSION_CONFLICT", "behind", store.commit(appendTo("a", 1, event())));
      await refuses("VERSION_CONFLICT", "ahead", store.commit(appendTo("a", 3, event())));
      assert.deepEqual((await store.commit(appendTo("a", "any", event()))).versions, [3]);
      assert.deepEqual((await store.commit(appendTo("a", 3, event()))).versions, [4]);
      assert.deepEqual((await store.commit(appendTo("b", "any", event()))).versions, [1]);
      assert.equal(await store.version("a"), 4);
      assert.equal(await store.version("c"), 0);
    },
  },
  {
    id: "S-03",
    name: "streams, slots, marks and outbox of a commit are written whole or not at all",
    async run({ store, event }) {
      const taken = event();
      await store.commit({
        ...appendTo("there", 0, taken),
        slots: [{ name: "slot", expectedVersion: 0, value: "old" }],
        inbox: [{ subscription: "group", eventId: "done" }],
      });
      const before = await contents(store);
      const good = (): Commit => ({
        appends: [
          { stream: "x", expectedVersion: 0, events: [event()] },
          { stream: "y", expectedVersion: "any", events: [event(), event()] },
        ],
        slots: [
          { name: "new", expectedVersion: 0, value: "1" },
          { name: "slot", expectedVersion: 1, value: "new" },
        ],
        inbox: [{ subscription: "group", eventId: "todo" }],
        outbox: [event()],
      });
      const bad: readonly [string, Parameters<typeof refuses>[0], Commit][] = [
        ["a stream", "VERSION_CONFLICT", appendTo("there", 0, event())],
        ["a stream without events", "VERSION_CONFLICT", appendTo("there", 7)],
        [
          "a slot",
          "VERSION_CONFLICT",
          { slots: [{ name: "slot", expectedVersion: 0, value: "" }] },
        ],
        ["a mark", "VERSION_CONFLICT", { inbox: [{ subscription: "group", eventId: "done" }] }],
        ["an id", "DUPLICATE_ID", { outbox: [taken] }],
      ];
      for (const [what, code, part] of bad) {
        const whole = good();
        await refuses(
          code,
          what,
          store.commit({
            appends: [...(whole.appends ?? []), ...(part.appends ?? [])],
            slots: [...(whole.slots ?? []), ...(part.slots ?? [])],
            inbox: [...(whole.inbox ?? []), ...(part.inbox ?? [])],
            outbox: [...(whole.outbox ?? []), ...(part.outbox ?? [])],
          }),
        );
        assert.deepEqual(await contents(store), before, `${what} left something behind`);
        assert.deepEqual(await store.marked(good().inbox ?? []), [], `${what} left a mark`);
      }
      const { versions } = await store.commit(good());
      assert.deepEqual(versions, [1, 2]);
      assert.equal((await readAll(store)).length, 5);
      assert.deepEqual(await store.slot("slot"), { value: "new", version: 2 });
      assert.equal((await store.marked(good().inbox ?? [])).length, 1);
    },
  },
  {
    id: "S-04",
    name: "a commit repeated after a lost answer changes nothing and answers as the first time",
    async run({ store, event }) {
      const commit: Commit = {
        appends: [
          { stream: "a", expectedVersion: 0, events: [event(), event()] },
          { stream: "guard", expectedVersion: 0, events: [] },
        ],
        slots: [{ name: "s", expectedVersion: 0, value: "first" }],
        inbox: [{ subscription: "group", eventId: "e" }],
        outbox: [event()],
      };
      const first = await store.commit(commit);
      assert.deepEqual(first.versions, [2, 0]);
      assert.equal(first.duplicate, false);
      await store.commit({
        appends: [
          { stream: "a", expectedVersion: 2, events: [event()] },
          { stream: "guard", expectedVersion: 0, events: [event()] },
        ],
        slots: [{ name: "s", expectedVersion: 1, value: "second" }],
      });
      const before = await contents(store);
      const again = await store.commit(commit);
      assert.equal(again.duplicate, true);
      assert.equal(again.versions[0], 2, "the version that the first commit had reached");
      assert.equal(again.position, await store.head());
      assert.deepEqual(await contents(store), before);
    },
  },
  {
    id: "S-05",
    name: "an append that is there is skipped while the rest of its commit is written",
    async run({ store, event }) {
      const known = event();
      const note = event();
      await store.commit({ ...appendTo("a", 0, known), outbox: [note] });
      const fresh = event();
      const result = await store.commit({
        appends: [
          { stream: "a", expectedVersion: 0, events: [known] },
          { stream: "b", expectedVersion: 0, events: [fresh] },
        ],
        slots: [{ name: "s", expectedVersion: 0, value: "v" }],
        outbox: [note],
      });
      assert.equal(result.duplicate, false);
      assert.deepEqual(result.versions, [1, 1]);
      const ids = (await readAll(store)).map((stored) => stored.event.id);
      assert.deepEqual(ids, [known.id, note.id, fresh.id]);
      assert.equal((await store.slot("s"))?.value, "v");
    },
  },
  {
    id: "S-06",
    name: "an id with other content, in another stream, twice in a commit or half there is refused",
    async run({ store, event }) {
      const known = event("suite.noted", { n: 1, m: { a: 1, b: [1, 2] } });
      const loose = event();
      await store.commit({ ...appendTo("a", 0, known), outbox: [loose] });
      const before = await contents(store);
      const twice = event();
      const cases: readonly [string, Commit][] = [
        ["other payload", appendTo("a", 1, { ...known, payload: { n: 2 } })],
        ["other type", appendTo("a", "any", { ...known, type: "suite.other" })],
        ["other metadata", appendTo("a", 1, withMetadata(known, { key: "k" }))],
        ["other stream", appendTo("b", 0, known)],
        ["no stream", { outbox: [known] }],
        ["a stream for one that had none", appendTo("a", 1, loose)],
        ["twice in one append", appendTo("c", 0, twice, twice)],
        ["twice in one commit", { ...appendTo("c", 0, twice), outbox: [twice] }],
        ["half there", appendTo("a", "any", known, event())],
      ];
      for (const [what, commit] of cases) {
        await refuses("DUPLICATE_ID", what, store.commit(commit));
        assert.deepEqual(await contents(store), before, `${what} left something behind`);
      }
      const reordered = { ...known, payload: { m: { b: [1, 2], a: 1 }, n: 1 } };
      assert.equal((await store.commit(appendTo("a", 0, reordered))).duplicate, true);
    },
  },
  {
    id: "S-07",
    name: "8 writers that read again after a conflict all get through, each event once",
    async run({ store, peer, event }) {
      const other = await peer(store);
      const mine = Array.from({ length: racers }, () => [event(), event(), event()]);
      await Promise.all(
        mine.map(async (events, index) => {
          const through = index % 2 ? other : store;
          for (const each of events) {
            for (let done = false; !done;) {
              const version = await through.version("shared");
              done = await through.commit(appendTo("shared", version, each)).then(
                () => true,
                (error: unknown) => {
                  assert.ok(isCadreError(error, "VERSION_CONFLICT"), String(error));
                  return false;
                },
              );
            }
          }
        }),
      );
      const stored = await readAll(store, { stream: "shared" });
      assert.deepEqual(
        stored.map(({ version }) => version),
        stored.map((_, index) => index + 1),
      );
      for (const events of mine) {
        const ids = new Set(events.map(({ id }) => id));
        const order = stored.filter((each) => ids.has(each.event.id)).map((each) => each.event.id);
        assert.deepEqual(order, [...ids], "a writer's own order is kept");
      }
    },
  },
  {
    id: "S-08",
    name: "an append without events only checks the version; an empty commit does nothing",
    async run({ store, event }) {
      const empty = await store.commit({});
      assert.deepEqual(empty, { position: 0, versions: [], duplicate: false });
      const { position } = await store.commit(appendTo("a", 0, event()));
      const guarded = await store.commit({
        appends: [
          { stream: "a", expectedVersion: 1, events: [] },
          { stream: "none", expectedVersion: 0, events: [] },
        ],
      });
      assert.deepEqual(guarded, { position, versions: [1, 0], duplicate: false });
      await refuses("VERSION_CONFLICT", "guard", store.commit(appendTo("a", 0)));
      const twice = await store.commit({
        appends: [
          { stream: "a", expectedVersion: 1, events: [event()] },
          { stream: "a", expectedVersion: 2, events: [event()] },
        ],
      });
      assert.deepEqual(twice.versions, [2, 3]);
    },
  },
  {
    id: "S-09",
    name: "200 commits at once are all written, each once, at the position that it was told",
    async run({ store, event }) {
      const events = Array.from({ length: 200 }, (_, index) => event("suite.noted", { index }));
      const results = await Promise.all(
        events.map((each, index) => store.commit(appendTo(`s${index % 7}`, "any", each))),
      );
      const stored = await readAll(store);
      assert.equal(stored.length, 200);
      const placed = new Map(stored.map((each) => [each.position, each]));
      for (const [index, { position, versions }] of results.entries()) {
        assert.equal(placed.get(position)?.event.id, events[index]!.id);
        assert.deepEqual(versions, [placed.get(position)?.version]);
      }
    },
  },
];
