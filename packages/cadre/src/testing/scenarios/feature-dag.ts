/**
 * Features: a diamond of tasks that hand their results on, one whose task fails and blocks it, and
 * one that is asked for when the first is done.
 */
import assert from "node:assert/strict";

import type { Cadre } from "../../agents/cadre.ts";
import { defineAgent } from "../../agents/define-agent.ts";
import { defineTask } from "../../agents/define-task.ts";
import { TerminalError } from "../../core/errors.ts";
import { type } from "../../core/event-definition.ts";
import type { Scenario } from "../sim-options.ts";

const maxAttempts = 30; // the store fails often here, and each failure may cost an attempt
const number = type<number>();
const Double = defineTask({ name: "double", input: number, output: number, maxAttempts });
const Total = defineTask({
  name: "total",
  input: type<{ results?: Record<string, number> }>(),
  output: number,
  maxAttempts,
});
const Impossible = defineTask({ name: "impossible", input: number, output: number, maxAttempts });

const hands = defineAgent({ name: "hands", capacity: 2 })
  .does(Double, async (n, ctx) => {
    await ctx.clock.sleep(200);
    return ctx.step("double", () => n * 2);
  })
  .does(Total, ({ results = {} }, ctx) =>
    ctx.step("add", () => Object.values(results).reduce((sum, n) => sum + n, 0)),
  )
  .does(Impossible, () => {
    throw new TerminalError("nobody can do this");
  });

async function checkDiamond(team: Cadre): Promise<void> {
  const numbers = [1, 2, 3];
  const names = numbers.map((n) => `double-${n}`);
  const feature = await team.features.create({
    id: "sum",
    title: "A sum",
    tasks: [
      ...numbers.map((n) => ({ name: `double-${n}`, definition: Double, input: n })),
      { name: "total", definition: Total, input: {}, dependsOn: names },
      { name: "grand", definition: Total, input: {}, dependsOn: ["total", "double-1"] },
    ],
  });
  const state = await feature.finished();
  assert.equal(state.status, "completed", state.reason);
  assert.equal((await team.tasks.get("sum.total"))?.result, 12);
  assert.equal((await team.tasks.get("sum.grand"))?.result, 14);
  const next = [{ name: "double", definition: Double, input: 8 }];
  const another = await team.features.create({ id: "next", title: "Another day", tasks: next });
  assert.equal((await another.finished()).status, "completed");
}

async function checkBlocked(team: Cadre): Promise<void> {
  const feature = await team.features.create({
    id: "stuck",
    title: "What cannot be done",
    tasks: [
      { name: "impossible", definition: Impossible, input: 1 },
      { name: "total", definition: Total, input: {}, dependsOn: ["impossible"] },
    ],
  });
  assert.equal((await feature.finished()).status, "blocked");
}

/** See the head of the file. */
export const featureDag: Scenario = {
  agents: () => [hands],
  processes: ["a", "b", "c"],
  work: (team) => Promise.all([checkDiamond(team), checkBlocked(team)]),
};
