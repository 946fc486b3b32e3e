import assert from "node:assert/strict";
import { appendTo, refuses, type StoreCheck } from "../store-check.ts";

export const slotChecks: readonly StoreCheck[] = [
  {
    id: "S-18",
    name: "a slot is set where its version is as expected; undefined deletes it",
    async run({ store }) {
      const set = (expectedVersion: number | "any", value: string | undefined): Promise<unknown> =>
        store.commit({ slots: [{ name: "s", expectedVersion, value }] });
      assert.equal(await store.slot("s"), undefined);
      await refuses("VERSION_CONFLICT", "not there", set(1, "x"));
      await set(0, "");
      assert.deepEqual({ ...(await store.slot("s")) }, { value: "", version: 1 });
      await refuses("VERSION_CONFLICT", "there", set(0, "x"));
      const details = await refuses("VERSION_CONFLICT", "ahead", set(2, "x"));
      assert.deepEqual(details, { stream: "s", expected: 2, actual: 1 });
      await set(1, "täglich \u{1f5c4} \0 '\"");
      assert.deepEqual(
        { ...(await store.slot("s")) },
        { value: "täglich \u{1f5c4} \0 '\"", version: 2 },
      );
      await set("any", "z");
      assert.equal((await store.slot("s"))?.version, 3);
      await refuses("VERSION_CONFLICT", "delete behind", set(2, undefined));
      await set(3, undefined);
      assert.equal(await store.slot("s"), undefined);
      await set("any", undefined);
      await set(0, undefined);
      await set(0, "again");
      assert.equal((await store.slot("s"))?.version, 1);
      assert.equal(await store.head(), 0, "slots are outside the log");
    },
  },
  {
    id: "S-19",
    name: "of 8 racers for a slot exactly one wins; writes to one slot in one commit count in turn",
    async run({ store, peer }) {
      const other = await peer(store);
      for (let round = 0; round < 5; round += 1) {
        const settled = await Promise.allSettled(
          Array.from({ length: 8 }, (_, racer) =>
            (racer % 2 ? other : store).commit({
              slots: [{ name: "lease", expectedVersion: round, value: `${racer}` }],
            }),
          ),
        );
        assert.equal(settled.filter(({ status }) => status === "fulfilled").length, 1);
        const winner = settled.findIndex(({ status }) => status === "fulfilled");
        assert.deepEqual(
          { ...(await store.slot("lease")) },
          { value: `${winner}`, version: round + 1 },
        );
      }
      await store.commit({
        slots: [
          { name: "twice", expectedVersion: 0, value: "1" },
          { name: "twice", expectedVersion: 1, value: "2" },
        ],
      });
      assert.deepEqual({ ...(await store.slot("twice")) }, { value: "2", version: 2 });
    },
  },
  {
    id: "S-20",
    name: "slots are listed by prefix in the order of their names, also with % and _",
    async run({ store }) {
      const names = ["a/2", "a/10", "a%", "a_", "b/1", "A/1", "a/ü"];
      await store.commit({
        slots: names.map((name) => ({ name, expectedVersion: 0, value: name.toUpperCase() })),
      });
      const listed = await store.slots("a/");
      assert.deepEqual(
        listed.map((slot) => ({ ...slot })),
        ["a/10", "a/2", "a/ü"].map((name) => ({
          name,
          value: name.toUpperCase(),
          version: 1,
        })),
      );
      const named = async (prefix: string): Promise<string[]> =>
        (await store.slots(prefix)).map(({ name }) => name);
      assert.deepEqual(await named("a%"), ["a%"]);
      assert.deepEqual(await named("a_"), ["a_"]);
      assert.deepEqual(await named("x"), []);
      assert.equal((await named("")).length, names.length);
    },
  },
  {
    id: "S-21",
    name: "a mark is kept by subscription and event; a second one is refused, also in one batch",
    async run({ store, event }) {
      const mark = (subscription: string, eventId: string) => ({ subscription, eventId });
      await store.commit({ inbox: [mark("g1", "e1"), mark("g1", "e2"), mark("g2", "e1")] });
      const asked = [mark("g1", "e1"), mark("g1", "e3"), mark("g2", "e2"), mark("g2", "e1")];
      const marked = (await store.marked(asked)).map((each) => ({ ...each }));
      assert.deepEqual(marked, [mark("g1", "e1"), mark("g2", "e1")]);
      assert.deepEqual(await store.marked([]), []);
      const effect = appendTo("a", "any", event());
      await refuses(
        "VERSION_CONFLICT",
        "handled before",
        store.commit({ ...effect, inbox: [mark("g1", "e9"), mark("g1", "e2")] }),
      );
      await refuses(
        "VERSION_CONFLICT",
        "twice in one batch",
        store.commit({ ...effect, inbox: [mark("g1", "e9"), mark("g1", "e9")] }),
      );
      assert.deepEqual(await store.marked([mark("g1", "e9")]), []);
      assert.equal(await store.head(), 0);
      await store.commit({ ...effect, inbox: [mark("g1", "e9")] });
      assert.equal((await store.marked([mark("g1", "e9")])).length, 1);
    },
  },
  {
    id: "S-22",
    name: "pruning drops marks that are older than asked, and nothing else",
    async run({ store, event, until }) {
      const marks = ["e1", "e2"].map((eventId) => ({ subscription: "g", eventId }));
      await store.commit({
        ...appendTo("a", 0, event()),
        inbox: marks,
        slots: [{ name: "s", expectedVersion: 0, value: "v" }],
      });
      assert.equal(await store.pruneInbox(3_600_000), 0);
      assert.equal((await store.marked(marks)).length, 2);
      let dropped = 0;
      await until(async () => (dropped += await store.pruneInbox(0)) === 2, "both marks dropped");
      assert.deepEqual(await store.marked(marks), []);
      await store.commit({ inbox: marks });
      assert.equal(await store.version("a"), 1);
      assert.equal((await store.slot("s"))?.value, "v");
    },
  },
];
