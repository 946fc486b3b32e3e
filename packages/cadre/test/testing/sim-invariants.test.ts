/** Each invariant can fail: by a log that breaks it, or by a team on broken ground. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { createEvent, defineProjection, type, VirtualClock, type StoredEvent } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import {
  everyFault,
  scenarios,
  SeededRandom,
  simulate,
  SimulationError,
  type SimulationOptions,
} from "cadre/testing";
import { checkLog } from "#src/testing/sim-invariants.ts";

import { changed } from "../changed.ts";
import { checkpointsApart, withoutInbox, withoutType, withoutVersions } from "./sim-planted.ts";

const maker = { source: "test", clock: new VirtualClock(), random: new SeededRandom(1) };
const flow = createEvent(maker, "custom.said", {});
type Row = readonly [type: string, payload?: object, author?: string, stream?: string];

/** The invariants that a log breaks. An author is a process in its first life. */
function broken(rows: readonly Row[]): readonly string[] {
  const authors = new Map<string, { readonly process: string; readonly life: number }>();
  const lives = new Map<string, { readonly process: string; readonly life: number }>();
  const log = rows.map(([eventType, payload = {}, author, stream = "task/t"], index) => {
    const event = createEvent(maker, eventType, { taskId: "t", ...payload }, { cause: flow });
    if (author !== undefined) {
      const life = lives.get(author) ?? { process: author, life: 1 };
      lives.set(author, life);
      authors.set(event.id, life);
    }
    const stored: StoredEvent = { position: index + 1, event, stream, version: 1, recordedAt: 0 };
    return stored;
  });
  return checkLog(log, authors).violations.map(({ invariant }) => invariant);
}

const created: Row = ["task.created", { name: "work", capability: "work", maxAttempts: 3 }];
const claimed = (epoch: number, author: string): Row => [
  "task.claimed",
  { epoch, attempt: epoch, agent: "x", incarnation: author },
  author,
];
const expired: Row = ["task.lease_expired", { epoch: 1, nextEpoch: 2, reason: "silent" }, "c"];
const receipt = (step: string, author: string, more: object = {}): Row => [
  "step.receipt",
  { step, key: `t/${step}`, ...more },
  author,
];
const completed = (author: string): Row => ["task.completed", { result: 1 }, author];
const failed: Row = ["task.failed", { error: { name: "Error", message: "no" } }, "a"];
const undone = (step: string): Row => ["step.undo_receipt", { step, key: `t/${step}` }, "a"];
const canUndo = { undo: true };

test("a log in which all is well breaks nothing", () => {
  const again = [claimed(1, "a"), expired, claimed(2, "b"), receipt("pay", "b"), completed("b")];
  assert.deepEqual(broken([created, ...again]), []);
  const saga = [claimed(1, "a"), receipt("pay", "a", canUndo)];
  assert.deepEqual(broken([created, ...saga, completed("a")]), []);
  assert.deepEqual(broken([created, ...saga, undone("pay"), failed]), []);
});

for (const [invariant, what, rows] of [
  ["no task lost", "a task that is only claimed", [claimed(1, "a")]],
  ["one end a task", "two ends", [claimed(1, "a"), completed("a"), failed]],
  [
    "one owner an epoch",
    "two claims of one epoch",
    [claimed(1, "a"), claimed(1, "b"), completed("b")],
  ],
  [
    "only the owner writes",
    "a receipt of one that had lost its lease",
    [claimed(1, "a"), expired, claimed(2, "b"), receipt("pay", "a"), completed("b")],
  ],
  [
    "only the owner writes",
    "a receipt when nobody owns the task",
    [claimed(1, "a"), expired, receipt("pay", "a"), claimed(2, "b"), completed("b")],
  ],
  [
    "only the owner writes",
    "a receipt after the end",
    [claimed(1, "a"), completed("a"), receipt("pay", "a")],
  ],
  [
    "one receipt a key",
    "two receipts of one step",
    [claimed(1, "a"), receipt("pay", "a"), receipt("pay", "a"), completed("a")],
  ],
  [
    "sagas end completed or undone",
    "a failure without the undo of what was done",
    [claimed(1, "a"), receipt("pay", "a", canUndo), failed],
  ],
  [
    "sagas end completed or undone",
    "a failure without the undo of what is in doubt",
    [claimed(1, "a"), ["step.intent", { step: "pay", key: "t/pay", undo: true }, "a"], failed],
  ],
  [
    "sagas end completed or undone",
    "a success after an undo",
    [claimed(1, "a"), receipt("pay", "a", canUndo), undone("pay"), completed("a")],
  ],
  [
    "sagas end completed or undone",
    "two undos of one step",
    [claimed(1, "a"), receipt("pay", "a", canUndo), undone("pay"), undone("pay"), failed],
  ],
  [
    "one record a cause",
    "one record twice",
    [
      claimed(1, "a"),
      completed("a"),
      ["custom.counted", {}, "a", "agent/ear"],
      ["custom.counted", {}, "b", "agent/ear"],
    ],
  ],
  [
    "features end",
    "a feature that is only there",
    [claimed(1, "a"), completed("a"), ["feature.created", {}, "a", "feature/f"]],
  ],
] as const) {
  test(`${invariant}: is broken by ${what}`, () => {
    assert.deepEqual(broken([created, ...(rows as readonly Row[])]), [invariant]);
  });
}

test("a saga of its own must end completed or undone", () => {
  const saga = (...types: readonly string[]): readonly string[] =>
    broken(types.map((each): Row => [each, { sagaId: "s" }, "a", "saga/s"]));
  assert.deepEqual(saga("saga.started", "saga.completed"), []);
  assert.deepEqual(saga("saga.started", "saga.failed", "saga.undo_started", "saga.undone"), []);
  const unfinished = ["sagas end completed or undone"];
  assert.deepEqual(saga("saga.started"), unfinished);
  assert.deepEqual(saga("saga.started", "saga.undo_started", "saga.undo_stuck"), unfinished);
});

/** The invariants that the first seeds break. */
async function found<World>(
  options: SimulationOptions<World>,
  invariant: string,
  seeds = 40,
): Promise<void> {
  const all = new Set<string>();
  for (let seed = 1; seed <= seeds && !all.has(invariant); seed += 1) {
    const once = { maxVirtualMs: 300_000, shortenRuns: 0, ...options, seed };
    await simulate(once).catch((error: unknown) => {
      if (!(error instanceof SimulationError)) throw error;
      for (const violation of error.violations) all.add(violation.invariant);
    });
  }
  assert.ok(all.has(invariant), `found only: ${[...all].join(", ") || "nothing"}`);
}

const faults = everyFault;
const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });

for (const invariant of ["one owner an epoch", "one end a task", "one receipt a key"]) {
  test(`a store that ignores expected versions is found out: ${invariant}`, async () => {
    await found({ ...scenarios.steps, faults, store: withoutVersions }, invariant);
  });
}

test("a store that forgets what was handled is found out: one record a cause", async () => {
  const options = { ...scenarios.relay, faults: { duplicate: 1 }, store: withoutInbox };
  await found(options, "one record a cause");
});

test("a reader that misses events is found out: live projection = rebuilt projection", async () => {
  const invariant = "live projection = rebuilt projection";
  await found({ ...scenarios.tasks, store: withoutType("task.failed") }, invariant, 1);
  await found({ ...scenarios.projection, store: withoutType("custom.sold") }, invariant, 1);
});

test("a fold that depends on who folds is found out: live projection = rebuilt", async () => {
  let folds = 0;
  const counting = defineProjection({
    name: "counting",
    initial: 0,
    apply: () => (folds += 1),
  });
  const options = { ...scenarios.projection, projections: [counting] };
  await found(options, "live projection = rebuilt projection", 1);
});

test("a checkpoint apart from its rows is found out by two processes: yours", async () => {
  const options = { ...scenarios.projection, faults, store: checkpointsApart };
  await found(options, "yours", 20);
});

test("a feature that nobody ends is found out", async () => {
  const task = { name: "work", definition: Work, input: 1 };
  const options: SimulationOptions = {
    agents: () => [],
    processes: [],
    work: (team) => team.features.create({ id: "feature", title: "Never", tasks: [task] }),
  };
  await found(options, "features end", 1);
});

test("a process that writes when all is done is found out: quiescence", async () => {
  let looks = 0;
  const options: SimulationOptions = {
    ...scenarios.featureDag,
    store: (inner) =>
      changed(inner, {
        slots: async (prefix) => {
          looks += 1;
          const event = createEvent(maker, "custom.ghost", { looks });
          if (looks % 5 === 0) await inner.commit({ outbox: [event] });
          return inner.slots(prefix);
        },
      }),
  };
  await found(options, "quiescence", 1);
});

test("a delivery that nobody settles is found out: quiescence", async () => {
  const listener = defineAgent({ name: "ear" }).on("custom.said", () => new Promise(() => {}));
  const options: SimulationOptions = {
    agents: () => [listener],
    work: async (team) => {
      await team.store.commit({ outbox: [createEvent(maker, "custom.said", {})] });
    },
  };
  await found(options, "quiescence", 1);
});

test("a process that does not close is found out: closing ends", async () => {
  const options: SimulationOptions = {
    ...scenarios.featureDag,
    schedule: [{ kind: "leave", process: "a", afterMs: 300 }],
    beside: async () => ({ close: () => new Promise(() => {}) }),
  };
  await found(options, "closing ends", 1);
});

test("work that fails, and work that never ends, are found out", async () => {
  const agents = (): [] => [];
  const fails = { agents, work: () => Promise.reject(new Error("the bank is closed")) };
  await assert.rejects(simulate({ ...fails, seed: 1 }), /the work succeeds: .*the bank is closed/);
  const waits = { agents, work: () => new Promise(() => {}), maxVirtualMs: 10_000 };
  await assert.rejects(simulate({ ...waits, seed: 1 }), /the work ends: .* after 10000 ms/);
});

test("a team that never does what it is asked is found out", async () => {
  const stuck = simulate({
    seed: 1,
    agents: () => [],
    work: async (team) => void (await team.tasks.create(Work, 1)),
    maxVirtualMs: 60_000,
  });
  await assert.rejects(stuck, /no task lost: task .* is offered/);
});
