import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CadreError,
  defineProjection,
  foldProjection,
  isCadreError,
  memoryStore,
  startProjection,
} from "cadre";
import type { AgentEvent } from "cadre";
import { clock, counter, created, event, write } from "./task-events.ts";
import { changed } from "../changed.ts";

interface Board {
  readonly open: Readonly<Record<string, string>>;
  readonly done: number;
}

type BoardEvents = {
  readonly "task.created": { readonly id: string; readonly title: string };
  readonly "task.completed": { readonly id: string };
};

const board = defineProjection<Board, BoardEvents>({
  name: "board",
  initial: { open: {}, done: 0 },
  apply: {
    "task.created": (state, { payload }) => ({
      ...state,
      open: { ...state.open, [payload.id]: payload.title },
    }),
    "task.completed": (state, { payload }) => {
      const { [payload.id]: _done, ...open } = state.open;
      return { open, done: state.done + 1 };
    },
  },
});

const completed = (id: string): AgentEvent => event("task.completed", { id });

test("a projection catches up, then follows the log", async () => {
  const store = memoryStore();
  await write(store, created("a"), created("b"), event("note"));
  await using running = await startProjection(store, board, { clock });
  await running.caughtUp();
  assert.deepEqual(running.state, { open: { a: "do a", b: "do b" }, done: 0 });
  assert.equal(running.position, 3);
  assert.equal((await running.status()).lag, 0);
  const position = await write(store, completed("a"));
  await running.caughtUp(position);
  assert.deepEqual(running.state, { open: { b: "do b" }, done: 1 });
  assert.equal((await running.status()).phase, "live");
});

test("caughtUp waits for an event that is not written yet, and is refused by close", async () => {
  const store = memoryStore();
  const running = await startProjection(store, counter, { clock });
  let there = false;
  const waiting = running.caughtUp(2).then(() => (there = true));
  await write(store, created("a"));
  await clock.settle();
  assert.equal(there, false);
  await write(store, created("b"));
  await waiting;
  const never = running.caughtUp(10);
  await running.close();
  await assert.rejects(never, (error) => isCadreError(error, "CLOSED"));
  await assert.rejects(running.rebuild(), (error) => isCadreError(error, "CLOSED"));
  await running.close();
});

test("events of other types and streams are not folded, and count as read", async () => {
  const store = memoryStore();
  const tasks = defineProjection({
    name: "streams",
    streamPrefix: "task/",
    initial: [] as readonly string[],
    apply: (ids, { id }) => [...ids, id],
  });
  const [mine, other] = [created("a"), created("b")];
  await store.commit({
    appends: [
      { stream: "task/1", expectedVersion: 0, events: [mine], private: true },
      { stream: "agent/1", expectedVersion: 0, events: [other] },
    ],
    outbox: [created("c")],
  });
  await using running = await startProjection(store, tasks, { clock });
  await running.caughtUp();
  assert.deepEqual(running.state, [mine.id]);
  assert.equal(running.position, 3);
});

test("an exact type wins over a pattern, and what nothing names is left alone", async () => {
  const store = memoryStore();
  const kinds = defineProjection({
    name: "kinds",
    initial: "",
    apply: {
      "task.*": (text) => `${text}*`,
      "task.created": (text) => `${text}c`,
      "agent.#": (text) => `${text}#`,
    },
  });
  await write(store, created("a"), completed("a"), event("agent"), event("note"));
  assert.deepEqual(await foldProjection(store, kinds), { state: "c*#", position: 4 });
});

test("beside reactions by type, every event may be folded, before its reaction", async () => {
  const store = memoryStore();
  const seen = defineProjection({
    name: "seen",
    initial: { every: 0, said: [] as readonly string[] },
    every: (state) => ({ ...state, every: state.every + 1 }),
    apply: {
      "task.created": ({ every, said }) => ({ every, said: [...said, `created as ${every}`] }),
      "#": ({ every, said }, { type }) => ({ every, said: [...said, type] }),
    },
  });
  await write(store, event("task.created"), event("task.claimed"), event("team.closed"));
  const { state } = await foldProjection(store, seen);
  assert.deepEqual(state, { every: 3, said: ["created as 1", "task.claimed", "team.closed"] });
  const twice = { name: "x", initial: 0, apply: (state: number) => state, every: () => 1 };
  assert.throws(() => defineProjection(twice), { code: "INVALID_OPTION" });
});

test("a poisonous event stops that projection alone, until it is rebuilt", async () => {
  const store = memoryStore();
  let broken = true;
  const picky = defineProjection({
    name: "picky",
    initial: 0,
    apply: (count, { payload }) => {
      if (broken && (payload as { id?: string }).id === "bad") throw new Error("cannot fold this");
      return count + 1;
    },
  });
  await write(store, created("a"), created("bad"), created("c"));
  await using running = await startProjection(store, picky, { clock });
  await using healthy = await startProjection(store, counter, { clock });
  await assert.rejects(running.caughtUp(), (error) => {
    assert.ok(isCadreError(error, "PROJECTION_FAILED"));
    assert.deepEqual(error.details, { projection: "picky", position: "2" });
    assert.match(error.message, /cannot fold this/);
    return true;
  });
  const status = await running.status();
  assert.equal(status.phase, "failed");
  assert.equal(status.position, 1);
  assert.equal(status.lag, 2);
  assert.ok(isCadreError(status.error, "PROJECTION_FAILED"));
  await assert.rejects(running.caughtUp(3));
  await healthy.caughtUp();
  assert.equal(healthy.state, 3);
  broken = false;
  await running.rebuild();
  assert.equal(running.state, 3);
  assert.equal((await running.status()).phase, "live");
});

test("a fold that changes its state fails instead of spoiling what readers hold", async () => {
  const store = memoryStore();
  const rude = defineProjection({
    name: "rude",
    initial: () => ({ ids: [] as string[] }),
    apply: (state, { id }) => {
      state.ids.push(id);
      return state;
    },
  });
  await write(store, created("a"));
  await assert.rejects(foldProjection(store, rude), (error) =>
    isCadreError(error, "PROJECTION_FAILED"),
  );
});

test("a fold in place keeps each run's state apart", async () => {
  const store = memoryStore();
  const list = defineProjection({
    name: "list",
    inPlace: true,
    initial: () => ({ count: 0 }),
    apply: (state) => {
      state.count += 1;
      return state;
    },
  });
  await write(store, created("a"), created("b"));
  const running = await startProjection(store, list, { clock });
  await running.caughtUp();
  assert.equal((await foldProjection(store, list, { upTo: 1 })).state.count, 1);
  assert.equal(running.state.count, 2);
  await running.close();
  await using again = await startProjection(store, list, { clock });
  await write(store, created("c"));
  await again.caughtUp();
  assert.equal(again.state.count, 3);
  assert.throws(
    () => defineProjection({ name: "x", inPlace: true, initial: {}, apply: (state) => state }),
    (error) => isCadreError(error, "INVALID_OPTION"),
  );
});

test("a store that cannot be read for a while is asked again until it can", async () => {
  const store = memoryStore();
  await write(store, created("a"));
  let failures = 3;
  const flaky = changed(store, {
    head: async () => {
      failures -= 1;
      if (failures >= 0) {
        throw new CadreError("STORE_UNAVAILABLE", "gone", { path: "/", reason: "test" });
      }
      return store.head();
    },
  });
  await using running = await startProjection(flaky, counter, { clock });
  await clock.settle();
  assert.equal(running.state, 0);
  await clock.advance(10_000);
  await running.caughtUp();
  assert.equal(running.state, 1);
  assert.equal((await running.status()).error, undefined);
});

test("rebuild during a catch-up ends with the state of the whole log", async () => {
  const store = memoryStore({ pageSize: 16 });
  await write(store, ...Array.from({ length: 200 }, (_, index) => created(`${index}`)));
  await using running = await startProjection(store, counter, { clock, checkpointEvery: 7 });
  const rebuilding = running.rebuild();
  await write(store, created("late"));
  await rebuilding;
  await running.caughtUp();
  assert.equal(running.state, 201);
});

test("onChange tells of what was folded, merged, and not of what was not", async () => {
  const store = memoryStore();
  await using running = await startProjection(store, counter, { clock });
  await running.caughtUp();
  const told: (readonly [number, number])[] = [];
  const end = running.onChange((state, position) => told.push([state, position]));
  await write(store, created("a"), created("b"));
  await running.caughtUp();
  await write(store, event("note"));
  await running.caughtUp();
  end();
  await write(store, created("c"));
  await running.caughtUp();
  assert.deepEqual(told, [[2, 2]]);
});

test("impossible options are refused", () => {
  const apply = (state: number): number => state;
  for (const options of [{ name: "" }, { name: "x".repeat(129) }, { name: "x", version: 0 }]) {
    assert.throws(
      () => defineProjection({ initial: 0, apply, ...options }),
      (error) => isCadreError(error, "INVALID_OPTION"),
    );
  }
  assert.throws(
    () => defineProjection({ name: "x", initial: 0, patterns: ["a..b"], apply }),
    (error) => isCadreError(error, "INVALID_PATTERN"),
  );
});
