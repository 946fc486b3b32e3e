import assert from "node:assert/strict";
import { test } from "node:test";
import { type } from "cadre";
import { defineAgent, defineTask, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Part = defineTask({ name: "part", input: type<number>(), output: type<number>() });
const parts = defineAgent({ name: "parts", capacity: 8 }).does(Part, (n) => n * 2);

const ways = {
  call: (ctx: TaskContext, n: number): Promise<unknown> => ctx.call("c", Part, n),
  spawn: async (ctx: TaskContext, n: number): Promise<unknown> =>
    (await ctx.spawn("c", Part, n)).result(),
  map: (ctx: TaskContext, n: number): Promise<unknown> => ctx.map("m", Part, [n], {}),
};

/** A handler whose second attempt gives its child another input. */
async function outcomeOf(way: keyof typeof ways, drift: "fail" | "warn"): Promise<unknown> {
  const bench = testTeam();
  const Whole = defineTask({
    name: "whole",
    input: type<number>(),
    output: type<unknown>(),
    maxAttempts: 3,
    drift,
  });
  let tries = 0;
  const whole = defineAgent({ name: "whole" }).does(Whole, async (_n, ctx) => {
    tries += 1;
    const result = await ways[way](ctx, tries);
    if (tries === 1) throw new Error("again");
    return result;
  });
  const team = await bench.start({ agents: [parts, whole] });
  const task = await team.tasks.create(Whole, 1, { id: "w" });
  const outcome = await bench.until(task.result()).catch((error: unknown) => String(error));
  await bench.close();
  return outcome;
}

for (const way of ["call", "spawn", "map"] as const) {
  test(`${way}: a child's result is not taken for that of another input`, async () => {
    assert.match(String(await outcomeOf(way, "fail")), /was made with another input/);
  });
}

test("a task that only warns of drift takes the result that there is", async () => {
  assert.equal(await outcomeOf("call", "warn"), 2);
});
