/**
 * A start from a mark knows what a start from the begin of the log knows: after random histories,
 * from every mark that was ever written, and over a crash at every write.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { TerminalError, VirtualClock, silentLogger, type, type EventStore, type Slot } from "cadre";
import { defineAgent, defineTask, type Cadre } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { FeatureBoard } from "#src/agents/orchestration/feature-board.ts";
import { FeatureReader } from "#src/agents/orchestration/feature-reader.ts";
import type { FeatureProgress } from "#src/agents/feature-fold.ts";
import { TaskBoard } from "#src/agents/task-board.ts";
import { changed } from "../changed.ts";

const Work = defineTask({
  name: "work",
  input: type<{ readonly n: number; readonly fails?: number; readonly lasts?: number }>(),
  output: type<number>(),
  maxAttempts: 3,
});
const Nobody = defineTask({ name: "nobody", input: type<number>(), output: type<number>() });
const seed = process.env["CADRE_SEED"];

function worker(name: string) {
  return defineAgent({ name, capacity: 2 }).does(Work, async ({ n, fails = 0, lasts }, ctx) => {
    if (lasts !== undefined) await ctx.sleep("long", lasts);
    if (fails === 9) throw new TerminalError("never");
    if (ctx.attempt <= fails) throw new Error("not yet");
    return n;
  });
}

/** Keeps everything that was written to the slots of marks. */
function remembering(store: EventStore, written: Map<string, Set<string>>): EventStore {
  const commit: EventStore["commit"] = async (work) => {
    const result = await store.commit(work);
    for (const { name, value } of work.slots ?? []) {
      if (!name.startsWith("marks/") || value === undefined) continue;
      written.set(name, (written.get(name) ?? new Set()).add(value));
    }
    return result;
  };
  return changed(store, { commit });
}

/** The store, with this in the slots of marks. */
function withMark(store: EventStore, mark: string | undefined): EventStore {
  const slot = (name: string): Promise<Slot | undefined> => {
    if (!name.startsWith("marks/")) return store.slot(name);
    return Promise.resolve(mark === undefined ? undefined : { value: mark, version: 1 });
  };
  return changed(store, { slot });
}

function contextOn(store: EventStore) {
  return { store, clock: new VirtualClock(), logger: silentLogger, markEvery: 1e9 };
}

/** Everything that a board says. */
async function boardFrom(store: EventStore, mark: string | undefined) {
  const board = new TaskBoard(contextOn(withMark(store, mark)));
  await board.start();
  const entries = [...board.entries()];
  const owners = new Set(entries.flatMap(({ state: { owner } }) => (owner ? [owner] : [])));
  const said = {
    entries,
    counts: { ...board.counts },
    claimable: ["work", "nobody"].map((name) =>
      [...board.claimable(name)].map(({ state }) => `${state.feature ?? ""} ${state.id}`),
    ),
    leases: [...owners].map(({ agent, incarnation }) => board.leases(agent, incarnation)),
  };
  board.close();
  return said;
}

/**
 * Within a feature the order is that of the log; whose turn it is goes by who was served before.
 */
function byFeature(claimable: readonly (readonly string[])[]) {
  return claimable.map((ids) =>
    ids.toSorted((left, right) => left.split(" ")[0]!.localeCompare(right.split(" ")[0]!)),
  );
}

async function featuresFrom(store: EventStore, mark: string | undefined) {
  const features = new FeatureBoard();
  const reader = new FeatureReader(contextOn(withMark(store, mark)), features, {
    changed: (progress) => {
      if (progress.feature === "completed") features.forget(progress);
    },
    orphaned: () => {},
    read: () => {},
  });
  await reader.read(() => false);
  const isLive = ({ feature }: FeatureProgress): boolean => feature !== "cancelled";
  return [...features.all()].filter(isLive).map(({ ready, needs, ...rest }) => ({
    ...rest,
    ready: [...ready].toSorted(),
    // Needed by none any more, or never by any: that is the same.
    needs: new Map([...needs].filter(([, count]) => count > 0)),
  }));
}

const step = fc.oneof(
  fc.record({
    do: fc.constant("task" as const),
    fails: fc.constantFrom(0, 0, 0, 1, 2, 9),
    lasts: fc.constantFrom(undefined, undefined, 4_000, 600_000),
    needs: fc.option(fc.nat(20), { nil: undefined }),
    priority: fc.constantFrom("low" as const, "normal" as const, "high" as const),
  }),
  fc.record({ do: fc.constant("nobody" as const) }),
  fc.record({ do: fc.constant("cancel" as const), which: fc.nat(20) }),
  fc.record({
    do: fc.constant("feature" as const),
    lasts: fc.constantFrom(undefined, 5_000, 600_000),
    open: fc.boolean(),
  }),
  fc.record({ do: fc.constant("patch" as const), which: fc.nat(5) }),
  fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(100, 3_000, 20_000) }),
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

async function act(team: Cadre, steps: readonly Step[], pass: (ms: number) => Promise<void>) {
  const ids: string[] = [];
  const features: string[] = [];
  for (const [index, each] of steps.entries()) {
    const id = `t${index}`;
    if (each.do === "task") {
      const { fails, lasts, needs, priority } = each;
      const dependsOn = needs === undefined || ids.length === 0 ? [] : [ids[needs % ids.length]!];
      const input = { n: index, fails, ...(lasts === undefined ? {} : { lasts }) };
      await team.tasks.create(Work, input, { id, priority, dependsOn });
      ids.push(id);
    } else if (each.do === "nobody") {
      await team.tasks.create(Nobody, index, { id });
      ids.push(id);
    } else if (each.do === "cancel" && ids.length > 0) {
      await team.tasks.cancel(ids[each.which % ids.length]!, "enough");
    } else if (each.do === "feature") {
      const { lasts, open } = each;
      const input = { n: index, ...(lasts === undefined ? {} : { lasts }) };
      const last = { name: "d", definition: open ? Nobody : Work, input: open ? 1 : input };
      await team.features.create({
        id: `f${index}`,
        title: "f",
        tasks: [
          { name: "a", definition: Work, input },
          { name: "b", definition: Work, input: { n: 2 } },
          { name: "c", definition: Work, input: { n: 3 }, dependsOn: ["a", "b"] },
          { ...last, dependsOn: ["b"] },
        ],
      });
      features.push(`f${index}`);
    } else if (each.do === "patch" && features.length > 0) {
      const feature = await team.features.get(features[each.which % features.length]!);
      const name = `p${index}`;
      const add = [{ name, definition: Work, input: { n: 1 }, dependsOn: ["b"] }];
      await feature?.patch({ add }).catch(() => undefined);
    } else if (each.do === "wait") await pass(each.ms);
  }
}

test("a start from any mark that was ever written knows what a whole read knows", async () => {
  let marks = 0;
  const property = fc.asyncProperty(
    fc.array(step, { minLength: 4, maxLength: 24 }),
    fc.nat(1_000),
    async (steps, random) => {
      await using bench = testTeam({ seed: random });
      const written = new Map<string, Set<string>>();
      const store = remembering(bench.store, written);
      const agents = [worker("a"), worker("b")];
      const team = await bench.start({ store, agents, markEvery: 3 });
      await bench.start({ store, agents: [worker("c")], markEvery: 5 });
      await act(team, steps, (ms) => bench.clock.advance(ms));
      await bench.clock.advance(2_000);
      const whole = await boardFrom(bench.store, undefined);
      for (const mark of written.get("marks/tasks") ?? []) {
        marks += 1;
        const said = await boardFrom(bench.store, mark);
        assert.deepEqual(byFeature(said.claimable), byFeature(whole.claimable));
        assert.deepEqual({ ...said, claimable: 0 }, { ...whole, claimable: 0 });
      }
      const features = await featuresFrom(bench.store, undefined);
      for (const mark of written.get("marks/features") ?? []) {
        marks += 1;
        assert.deepEqual(await featuresFrom(bench.store, mark), features);
      }
    },
  );
  await fc.assert(property, { numRuns: 25, ...(seed === undefined ? {} : { seed: Number(seed) }) });
  assert.ok(marks > 100, `${marks} marks were tried`);
});

interface Death {
  readonly at: number;
  readonly when: "before" | "after";
}

/** A store whose process is gone from one write of any kind on. */
function dying(store: EventStore, death: Death | undefined) {
  let writes = 0;
  let isDead = false;
  const never = new Promise<never>(() => {});
  const commit: EventStore["commit"] = async (work) => {
    if (isDead) return never;
    writes += 1;
    isDead = writes === death?.at;
    if (isDead && death?.when === "before") return never;
    const result = await store.commit(work);
    return isDead ? never : result;
  };
  const slot: EventStore["slot"] = (name) => (isDead ? never : store.slot(name));
  return { mortal: changed(store, { commit, slot }), writes: () => writes };
}

/** A chain of tasks and a feature, done by processes that note a mark after every event. */
async function liveThrough(death: Death | undefined): Promise<number> {
  // Not closed: a dead process would not answer.
  const bench = testTeam();
  const { mortal, writes } = dying(bench.store, death);
  const runs = new Map<number, number>();
  const agent = () =>
    defineAgent({ name: "a", capacity: 2 }).does(Work, ({ n }) => {
      runs.set(n, (runs.get(n) ?? 0) + 1);
      return n;
    });
  const client = await bench.start({ name: "client", orchestrator: false, markEvery: 0 });
  await client.tasks.create(Nobody, 1, { id: "old" });
  await client.tasks.create(Work, { n: 0 }, { id: "t0" });
  await client.tasks.create(Work, { n: 1 }, { id: "t1", dependsOn: ["t0"] });
  const last = await client.tasks.create(Work, { n: 2 }, { id: "t2", dependsOn: ["t0", "t1"] });
  const feature = await client.features.create({
    title: "f",
    tasks: [
      { name: "a", definition: Work, input: { n: 10 } },
      { name: "b", definition: Work, input: { n: 11 }, dependsOn: ["a"] },
    ],
  });
  const starting = bench.start({ agents: [agent()], store: mortal, markEvery: 1 });
  starting.catch(() => undefined);
  await bench.clock.advance(5_000);
  if (death) await bench.start({ agents: [agent()], markEvery: 1 });
  await bench.until(Promise.all([last.result(), feature.finished()]), 600_000);
  const what = JSON.stringify(death);
  assert.equal((await feature.state()).status, "completed", what);
  for (const [n, times] of runs) assert.ok(times <= 2, `${what}: ${n} ran ${times} times`);
  assert.equal((await client.tasks.get("old"))?.status, "offered", what);
  const next = await bench.start({ name: "next" });
  assert.equal(next.stats().tasksCompleted, 5, what);
  assert.equal(next.stats().tasksOpen, 1, what);
  return writes();
}

test("who starts from the marks of a process that died at any write goes on with its work", async () => {
  const all = await liveThrough(undefined);
  assert.ok(all > 15);
  for (let at = 1; at <= all; at += 1) {
    await liveThrough({ at, when: "before" });
    await liveThrough({ at, when: "after" });
  }
});

async function withHistory() {
  const bench = testTeam();
  const team = await bench.start({ agents: [worker("a")], markEvery: 1 });
  const ids = ["t0", "t1", "t2"];
  for (const [n, id] of ids.entries()) {
    const dependsOn = n === 0 ? [] : [ids[n - 1]!];
    await team.tasks.create(Work, { n }, { id, dependsOn });
  }
  const open = await team.tasks.create(Nobody, 1, { id: "open" });
  await bench.clock.advance(10_000);
  return { bench, team, open };
}

test("a mark of another format, of another log, or none at all means a whole read", async () => {
  const { bench } = await withHistory();
  const whole = await boardFrom(bench.store, undefined);
  const good = JSON.parse((await bench.store.slot("marks/tasks"))!.value) as object;
  const bad = [
    "",
    "null",
    "[]",
    JSON.stringify({ ...good, format: 0 }),
    JSON.stringify({ ...good, anchor: "of another log" }),
    JSON.stringify({ ...good, position: 1e6 }),
    JSON.stringify({ ...good, open: "none" }),
  ];
  for (const mark of bad) assert.deepEqual(await boardFrom(bench.store, mark), whole, mark);
  await bench.close();
});

test("a mark that does not fit the log is written anew", async () => {
  const { bench } = await withHistory();
  const { version } = (await bench.store.slot("marks/tasks"))!;
  const value = JSON.stringify({ format: 1, position: 1e6, anchor: "x", open: [], counts: {} });
  await bench.store.commit({ slots: [{ name: "marks/tasks", expectedVersion: version, value }] });
  const next = await bench.start({ markEvery: 1 });
  await bench.clock.settle();
  assert.equal(next.stats().tasksOpen, 1);
  const mark = JSON.parse((await bench.store.slot("marks/tasks"))!.value) as { position: number };
  assert.ok(mark.position < 1e6);
  await bench.close();
});

test("what is over is found by its stream: a result, a state, a list, a dependency", async () => {
  const { bench } = await withHistory();
  const next = await bench.start({ name: "next", agents: [worker("b")], markEvery: 1 });
  const again = await next.tasks.create(Work, { n: 7 }, { id: "t1" });
  assert.equal(await bench.until(again.result()), 1);
  assert.equal((await next.tasks.get("t0"))?.status, "completed");
  assert.equal((await next.tasks.list({ status: "completed" })).length, 3);
  const late = await next.tasks.create(Work, { n: 9 }, { dependsOn: ["t0", "t2"] });
  assert.equal(await bench.until(late.result()), 9);
  assert.equal(next.stats().tasksCompleted, 4);
  await bench.close();
});

test("no mark is kept where none is wanted, and half an event is refused", async () => {
  await using bench = testTeam();
  const team = await bench.start({ agents: [worker("a")], markEvery: 0 });
  await bench.until(team.tasks.create(Work, { n: 1 }).then((task) => task.result()));
  assert.deepEqual(await bench.store.slots("marks/"), []);
  await assert.rejects(bench.start({ markEvery: 0.5 }), { code: "INVALID_OPTION" });
});

test("a feature whose parent ended before the mark is cancelled", async () => {
  const Whole = defineTask({ name: "whole", input: type<number>(), output: type<unknown>() });
  const bench = testTeam();
  const parent = () =>
    defineAgent({ name: "p" }).does(Whole, (_, ctx) =>
      ctx.feature("parts", {
        title: "parts",
        tasks: [{ name: "x", definition: Nobody, input: 1 }],
      }),
    );
  const team = await bench.start({ agents: [parent()], orchestrator: false });
  const task = await team.tasks.create(Whole, 1, { id: "w" });
  const other = await bench.start({ name: "other" });
  await bench.clock.advance(3_000);
  await other.close();
  await task.cancel("enough");
  await bench.clock.advance(20_000);
  assert.notEqual((await (await team.features.get("w/parts"))!.state()).status, "cancelled");
  // As the orchestrator would have written it that read the cancellation and died of it.
  const [position, anchor] = [await bench.store.head(), await lastId(bench.store)];
  const value = JSON.stringify({ format: 1, position, anchor, open: ["w/parts"], counts: {} });
  const slots = [{ name: "marks/features", expectedVersion: 0, value }];
  await bench.store.commit({ slots });
  await bench.start({ name: "next" });
  await bench.clock.advance(10_000);
  assert.equal((await (await team.features.get("w/parts"))!.state()).status, "cancelled");
  await bench.close();
});

async function lastId(store: EventStore): Promise<string> {
  for await (const { event } of store.read({ backward: true, limit: 1 })) return event.id;
  return "";
}
