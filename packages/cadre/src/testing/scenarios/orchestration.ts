/**
 * Orchestrators that ask orchestrators: features whose tasks are features, one that is changed
 * while it runs, one that fails below and is mended above, one that is cancelled from the top; and
 * tasks that hand work on to several. All orchestrators are among the victims.
 */
import assert from "node:assert/strict";

import type { AgentDefinition } from "../../agents/agent.ts";
import type { Cadre } from "../../agents/cadre.ts";
import { defineAgent } from "../../agents/define-agent.ts";
import { defineTask } from "../../agents/define-task.ts";
import type { FeaturePlan } from "../../agents/feature.ts";
import { TerminalError } from "../../core/errors.ts";
import { type } from "../../core/event-definition.ts";
import type { Scenario } from "../sim-options.ts";
import { CountingWorld } from "./world.ts";

const maxAttempts = 30; // the store fails often here, and each failure may cost an attempt
const number = type<number>();
const Page = defineTask({ name: "page", input: number, output: number, maxAttempts });
const Chapter = defineTask({ name: "chapter", input: number, output: number, maxAttempts });
const Survey = defineTask({ name: "survey", input: number, output: number, maxAttempts });

const pages = (n: number): FeaturePlan => ({
  title: `Chapter ${n}`,
  tasks: [
    { name: "left", definition: Page, input: n },
    { name: "right", definition: Page, input: n + 1 },
  ],
});

const hands = (world: CountingWorld): AgentDefinition =>
  defineAgent({ name: "hands", capacity: 2 })
    .does(Page, async (n, ctx) => {
      if (n < 0) throw new TerminalError("there is no such page");
      await ctx.clock.sleep(200);
      return ctx.step("read", (key) => {
        world.effect(key);
        return n;
      });
    })
    .does(Chapter, async (n, ctx) => {
      const read = await ctx.feature("pages", pages(n));
      return Number(read["left"]) + Number(read["right"]);
    });

const surveyor = defineAgent({ name: "surveyor" }).does(Survey, async (n, ctx) => {
  await ctx.step("begin", () => n);
  const first = await ctx.scatter("some", Page, { inputs: [n, n, n] }, { quorum: 2 });
  const all = await ctx.map("all", Page, [1, 2, 3, 4], {
    concurrency: 2,
    initial: 0,
    reduce: (sum: number, page) => sum + page,
  });
  if (ctx.task.handoffs === undefined) return ctx.handoff({ agent: "surveyor" }, "once more");
  return first.length * 100 + all;
});

async function checkBook(team: Cadre): Promise<void> {
  const feature = await team.features.create({
    id: "book",
    title: "A book",
    tasks: [1, 3].map((n) => ({ name: `c${n}`, definition: Chapter, input: n })),
  });
  await feature.patch({
    id: "longer",
    add: [{ name: "c5", definition: Chapter, input: 5, dependsOn: [] }],
  });
  const state = await feature.finished();
  assert.equal(state.status, "completed", state.reason);
  assert.deepEqual(await feature.results(), { c1: 3, c3: 7, c5: 11 });
}

async function checkMended(team: Cadre): Promise<void> {
  const feature = await team.features.create({
    id: "poor",
    title: "A poor plan",
    tasks: [
      { name: "bad", definition: Chapter, input: -5 },
      { name: "good", definition: Chapter, input: 7 },
    ],
  });
  const blocked = await feature.finished();
  assert.equal(blocked.status, "blocked");
  assert.match(blocked.reason ?? "", /no such page/);
  await feature.patch({ id: "mend", replace: [{ name: "bad", input: 9 }] });
  const state = await feature.finished();
  assert.equal(state.status, "completed", state.reason);
  assert.deepEqual(await feature.results(), { bad: 19, good: 15 });
}

async function checkCancelled(team: Cadre): Promise<void> {
  const tasks = [{ name: "c", definition: Chapter, input: 20 }];
  const feature = await team.features.create({ id: "unwanted", title: "Unwanted", tasks });
  await team.tasks.create(Page, 50, { id: "first" }).then((task) => task.result());
  const isCancelled = await feature.cancel("nobody wants it");
  const state = await feature.finished();
  assert.equal(state.status, isCancelled ? "cancelled" : "completed");
  const nested = await team.features.get("unwanted.c/pages");
  await nested?.finished();
}

async function checkSurvey(team: Cadre): Promise<void> {
  const survey = await team.tasks.create(Survey, 30, { id: "survey" });
  assert.equal(await survey.result(), 210);
}

/** See the head of the file. What is read is read once, but for what was in flight at a death. */
export const orchestration: Scenario<CountingWorld> = {
  world: () => new CountingWorld(),
  agents: (process, world) => (process === "a" ? [hands(world), surveyor] : [hands(world)]),
  processes: ["a", "b", "c"],
  work: (team) =>
    Promise.all([checkBook(team), checkMended(team), checkCancelled(team), checkSurvey(team)]),
};
