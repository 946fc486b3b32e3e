import assert from "node:assert/strict";
import type { Append, Commit } from "../../core/commit.ts";
import type { ErrorCode } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { appendTo, contents, readAll, refuses, type StoreCheck } from "../store-check.ts";

const edges: readonly unknown[] = [
  {},
  [],
  "",
  null,
  0,
  -0,
  false,
  2 ** 53,
  1e308,
  5e-324,
  "\0\u0001\u001f\u007f\u2028\u2029",
  "\u{1f5c4}\ud800 alone \udc00",
  JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1, "a.b": 2, "": 3}'),
  { deep: { er: [[[{ est: [null] }]]] } },
  Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join(""),
];

function isFrozenDeep(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(isFrozenDeep);
}

export const lifeChecks: readonly StoreCheck[] = [
  {
    id: "S-23",
    name: "payloads and metadata come back equal, whatever JSON can carry, and frozen",
    async run({ store, event }) {
      const events = edges.map((payload, index) =>
        event(
          "suite.noted",
          { payload },
          {
            key: `ключ "${index}"`,
            target: "reader",
            priority: "critical",
            expiresAt: 1.5,
            tenant: "x".repeat(8_192),
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            extensions: { nested: { list: [1, "two", null] }, Ünï: "line\nbreak" },
          },
        ),
      );
      const plain = edges.map((payload) => event("suite.noted", payload));
      await store.commit({ ...appendTo("edges", 0, ...events), outbox: plain });
      const stored = await readAll(store);
      const written = [...events, ...plain];
      assert.equal(stored.length, written.length);
      for (const [index, each] of stored.entries()) {
        assert.deepEqual({ ...each.event }, { ...written[index] });
        assert.equal(JSON.stringify(each.event.payload), JSON.stringify(written[index]!.payload));
        assert.ok(isFrozenDeep(each.event), "an event from the store can be changed");
      }
      assert.equal((await store.commit({ outbox: plain })).duplicate, true);
    },
  },
  {
    id: "S-24",
    name: "what is in the log cannot be changed by whoever wrote it or read it",
    async run({ store, event }) {
      const list = [1];
      const loose = { ...event(), payload: { list }, metadata: { ...event().metadata } };
      const events: AgentEvent[] = [loose];
      const append: Append = { stream: "a", expectedVersion: 0, events };
      const committing = store.commit({ appends: [append] });
      list.push(2);
      events.push(event());
      await committing;
      const [first, ...rest] = await readAll(store);
      assert.deepEqual(rest, []);
      const payload = first?.event.payload as { list: number[] };
      assert.deepEqual(payload, { list: [1] });
      assert.throws(() => payload.list.push(3), TypeError);
    },
  },
  {
    id: "S-25",
    name: "an event of a megabyte comes back whole",
    async run({ store, event }) {
      const text = "ä\u{1f5c4}0123456789".repeat(70_000);
      await store.commit(appendTo("big", 0, event("suite.noted", { text })));
      const [stored] = await readAll(store, { stream: "big" });
      const payload = stored?.event.payload as { text: string };
      assert.ok(payload.text === text);
    },
  },
  {
    id: "S-26",
    name: "a commit that is not well formed is refused whole, naming what is wrong",
    async run({ store, event }) {
      const good = event();
      const cyclic: Record<string, unknown> = {};
      cyclic["self"] = cyclic;
      const appendOf = (part: Record<string, unknown>): Commit => ({
        appends: [{ stream: "a", expectedVersion: 0, events: [event()], ...part }],
      });
      const eventOf = (part: Record<string, unknown>): Commit => ({
        outbox: [event(), { ...good, ...part }],
      });
      const bad: readonly [ErrorCode, string, Commit][] = [
        ["INVALID_OPTION", "empty stream", appendOf({ stream: "" })],
        ["INVALID_OPTION", "long stream", appendOf({ stream: "x".repeat(257) })],
        ["INVALID_OPTION", "negative version", appendOf({ expectedVersion: -1 })],
        ["INVALID_OPTION", "broken version", appendOf({ expectedVersion: 0.5 })],
        ["INVALID_OPTION", "slot", { slots: [{ name: "", expectedVersion: 0, value: "" }] }],
        ["INVALID_OPTION", "mark", { inbox: [{ subscription: "", eventId: "e" }] }],
        ["INVALID_EVENT", "no id", eventOf({ id: "" })],
        ["INVALID_EVENT", "no source", eventOf({ source: "" })],
        ["INVALID_EVENT", "no time", eventOf({ timestamp: Number.NaN })],
        ["INVALID_EVENT", "metadata", eventOf({ metadata: { version: "1.0.0" } })],
        ["INVALID_TOPIC", "wildcard", eventOf({ type: "task.*" })],
        ["NOT_JSON", "function", eventOf({ payload: { run: () => 1 } })],
        ["NOT_JSON", "cycle", eventOf({ payload: cyclic })],
        ["NOT_JSON", "bigint", eventOf({ payload: { big: 1n } })],
      ];
      for (const [code, what, commit] of bad) {
        await refuses(code, what, store.commit(commit));
        assert.deepEqual(await contents(store), { events: [], head: 0, slots: [] }, what);
      }
    },
  },
  {
    id: "S-27",
    name: "outbox events enter the log after the appends of their commit, without a stream",
    async run({ store, event }) {
      const [a, b, c] = [event(), event(), event()];
      await store.commit({ outbox: [b, c], ...appendTo("s", 0, a) });
      const stored = await readAll(store);
      assert.deepEqual(
        stored.map((each) => [each.event.id, each.stream, each.version, each.private ?? false]),
        [
          [a.id, "s", 1, false],
          [b.id, undefined, undefined, false],
          [c.id, undefined, undefined, false],
        ],
      );
      assert.deepEqual(stored[1]?.event.timestamp, b.timestamp);
      const members = Object.keys(stored[1] ?? {});
      assert.ok(!members.includes("stream") && !members.includes("version"));
    },
  },
  {
    id: "S-28",
    name: "a closed store refuses everything; a commit during close is written or refused",
    async run({ store, event }) {
      await store.commit(appendTo("a", 0, event()));
      const racing = Array.from({ length: 20 }, () => store.commit({ outbox: [event()] }));
      const settling = Promise.allSettled(racing);
      await store.close();
      await store.close();
      for (const each of await settling) {
        if (each.status === "rejected") {
          await refuses("CLOSED", "a commit during close", Promise.reject(each.reason as Error));
        }
      }
      await refuses("CLOSED", "commit", store.commit({ outbox: [event()] }));
      await refuses("CLOSED", "read", readAll(store));
      await refuses("CLOSED", "version", store.version("a"));
      await refuses("CLOSED", "head", store.head());
      await refuses("CLOSED", "slot", store.slot("s"));
      await refuses("CLOSED", "slots", store.slots(""));
      await refuses("CLOSED", "marked", store.marked([{ subscription: "g", eventId: "e" }]));
      await refuses("CLOSED", "pruneInbox", store.pruneInbox(0));
    },
  },
  {
    id: "S-29",
    name: "after a restart everything is there, and the log goes on behind it",
    needs: "reopen",
    async run({ store, event, reopen }) {
      const mark = { subscription: "g", eventId: "e" };
      const commit: Commit = {
        appends: [{ stream: "a", expectedVersion: 0, events: [event(), event()], private: true }],
        slots: [{ name: "s", expectedVersion: 0, value: "v" }],
        inbox: [mark],
        outbox: [event("suite.noted", { text: "\u{1f5c4}\0" })],
      };
      await store.commit(commit);
      await store.commit({ slots: [{ name: "s", expectedVersion: 1, value: "w" }] });
      const before = await contents(store);
      const again = await reopen(store);
      assert.deepEqual(await contents(again), before);
      assert.deepEqual((await again.marked([mark])).length, 1);
      assert.equal((await again.commit(commit)).duplicate, true);
      const { position, versions } = await again.commit(appendTo("a", 2, event()));
      assert.ok(position > (before as { head: number }).head);
      assert.deepEqual(versions, [3]);
      const all = await readAll(again);
      assert.ok(all.at(-1)!.recordedAt >= all.at(-2)!.recordedAt);
    },
  },
  {
    id: "S-30",
    name: "what one connection has committed, another sees at once; their ids are one set",
    needs: "peer",
    async run({ store, event, peer }) {
      const other = await peer(store);
      const first = event();
      await store.commit({
        ...appendTo("a", 0, first),
        slots: [{ name: "s", expectedVersion: 0, value: "v" }],
        inbox: [{ subscription: "g", eventId: "e" }],
      });
      assert.deepEqual(await contents(other), await contents(store));
      assert.equal(await other.version("a"), 1);
      assert.equal((await other.commit(appendTo("a", 0, first))).duplicate, true);
      await refuses("DUPLICATE_ID", "other stream", other.commit(appendTo("b", 0, first)));
      await refuses("VERSION_CONFLICT", "behind", other.commit(appendTo("a", 0, event())));
      await refuses(
        "VERSION_CONFLICT",
        "marked by the first",
        other.commit({ inbox: [{ subscription: "g", eventId: "e" }] }),
      );
      await other.close();
      assert.equal(await store.version("a"), 1);
    },
  },
];
