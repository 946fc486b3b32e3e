/** Which owners are laid to a task when they are lost: not those that it left by waiting. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { leavingStore } from "./leaving-store.ts";

const Work = defineTask({ name: "work", input: type<string>(), output: type<string>() });
const Part = defineTask({ name: "part", input: type<number>(), output: type<string>() });
const long = 600_000; // longer than all kills together
const kills = 11; // ten are too many

const hang = (): Promise<string> => new Promise(() => {});

const handlers: Readonly<Record<string, (ctx: TaskContext) => Promise<string>>> = {
  sleeps: async (ctx) => {
    await ctx.sleep("long", long);
    return "slept";
  },
  hears: async (ctx) => ((await ctx.waitFor("custom.came")) ? "heard" : ""),
  proposes: async (ctx) =>
    (await ctx.propose("deploy", { voters: { people: ["ana"] }, deadlineMs: long })).status,
  calls: (ctx) => ctx.call("part", Part, 1),
  steps: async (ctx) => {
    for (let step = 0; step < 40; step += 1) {
      await ctx.step(`step ${step}`, () => ctx.clock.sleep(1_500));
    }
    return "stepped";
  },
  kills: hang,
  killsBehind: async (ctx) => {
    await ctx.sleep("short", 10);
    return hang();
  },
  killsBeside: async (ctx) => {
    const killing = ctx.step("kills", hang);
    return Promise.race([ctx.sleep("long", long).then(() => "slept"), killing]);
  },
};

/** Tasks of all kinds whose owner's process is killed again and again; then it lives. */
async function survived(): Promise<Readonly<Record<string, string>>> {
  const bench = testTeam();
  const asking = await bench.start();
  const names = Object.keys(handlers);
  for (const id of names) await asking.tasks.create(Work, id, { id });
  const worker = () =>
    defineAgent({ name: "worker", capacity: names.length }).does(Work, (kind, ctx) =>
      handlers[kind]!(ctx),
    );
  for (let round = 0; round < kills; round += 1) {
    const process = leavingStore(bench.store);
    await bench.start({ store: process.store, agents: [worker()] });
    await bench.clock.advance(4_000);
    process.isAway = true;
    await bench.clock.advance(16_000);
  }
  const parts = defineAgent({ name: "parts" }).does(Part, () => "called");
  await bench.start({ agents: [worker(), parts] });
  await asking.bus.publish("custom.came", {});
  const { id, contentHash: hash } = (await asking.proposals.get("proposes.deploy"))!;
  await asking.proposals.vote(id, { as: "ana", verdict: "approve", hash });
  await bench.clock.advance(long);
  const ends: Record<string, string> = {};
  for (const task of names) {
    const { status = "", result, error } = (await asking.tasks.get(task)) ?? {};
    ends[task] = status === "completed" ? (result as string) : `${status} ${error?.code}`;
  }
  await bench.close();
  return ends;
}

const survivors = survived();

for (const [what, task, end] of [
  ["a task that sleeps outlives every process", "sleeps", "slept"],
  ["a task that waits for an event outlives every process", "hears", "heard"],
  ["a task that waits for a decision outlives every process", "proposes", "approved"],
  ["a task that waits for its child outlives every process", "calls", "called"],
  ["a task that gets a step further each time outlives every process", "steps", "stepped"],
  ["a task that kills its process fails", "kills", "failed LEASE_LOST"],
  ["a task that kills behind a wait that is over fails", "killsBehind", "failed LEASE_LOST"],
  ["a task that kills by a step beside a wait fails", "killsBeside", "failed LEASE_LOST"],
] as const) {
  test(what, async () => assert.equal((await survivors)[task], end));
}
