/**
 * Schedules under the simulator: three processes that crash, freeze and are cut off, and every
 * instant is due once.
 *
 * CADRE_SCHEDULE_SEEDS sets the number of seeds (8 unless set); CADRE_SEED runs one alone.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type, type Clock, type EventStore } from "cadre";
import { defineAgent, defineTask, type Cadre } from "cadre/agents";
import { everyFault, simulateSeeds, type Scenario } from "cadre/testing";

const seeds = Number(process.env["CADRE_SCHEDULE_SEEDS"] ?? 8);
const isAlone = process.env["CADRE_SEED"] !== undefined;
const everyMs = 2_000;
const count = 6;

const Beat = defineTask({ name: "beat", input: type<string>(), output: type<string>() });

async function work({ schedules, tasks }: Cadre, _world: unknown, clock: Clock): Promise<void> {
  const all = { missed: "all" } as const;
  await schedules.every("task", everyMs, { task: Beat, input: "x" }, all);
  await schedules.every("event", everyMs, { event: "custom.tick", payload: {} }, all);
  const isDone = async (): Promise<boolean> =>
    (await schedules.list()).every(({ fired }) => fired >= count);
  while (!(await isDone())) await clock.sleep(500);
  await schedules.cancel("task");
  await schedules.cancel("event");
  const isOpen = async (): Promise<boolean> =>
    (await tasks.list()).some(({ status }) => status !== "completed");
  while (await isOpen()) await clock.sleep(500);
}

/** Every instant from the first to the last has fired, once, and so has its record. */
async function onceEach(store: EventStore): Promise<readonly string[]> {
  const wrong: string[] = [];
  const fired = new Map<string, string[]>([
    ["task", []],
    ["event", []],
  ]);
  let records = 0;
  for await (const { event, stream = "" } of store.read()) {
    if (event.type === "custom.tick") fired.get("event")!.push(event.id);
    if (event.type === "task.created") fired.get("task")!.push(stream.slice("task/".length));
    if (event.type === "schedule.fired") records += 1;
  }
  for (const [id, ids] of fired) {
    const instants = ids.map((each) => Date.parse(each.slice(`${id}@`.length)));
    const [first = 0] = instants;
    const expected = instants.map((_, index) => first + index * everyMs);
    if (ids.length < count || instants.join() !== expected.join())
      wrong.push(`${id} fired ${ids.join(" ")}`);
    records -= ids.length;
  }
  if (records !== 0) wrong.push(`${records} records of firings too many`);
  return wrong;
}

const scenario: Scenario = {
  processes: ["a", "b", "c"],
  agents: () => [defineAgent({ name: "heart", capacity: 2 }).does(Beat, (input) => input)],
  work,
  invariants: [onceEach],
};

test("every instant fires once, whatever goes wrong", async (t) => {
  const sum = await simulateSeeds({ ...scenario, faults: everyFault, seeds });
  t.diagnostic(JSON.stringify({ runs: sum.runs, crashes: sum.crashes, virtualMs: sum.virtualMs }));
  assert.equal(sum.runs, isAlone ? 1 : seeds);
  assert.ok(isAlone || sum.crashes > 0, "something must have gone wrong");
});
