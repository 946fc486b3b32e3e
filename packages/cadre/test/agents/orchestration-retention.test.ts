/** What of features may be removed from the log. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, teamStreams } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Leaf = defineTask({ name: "leaf", input: type<number>(), output: type<number>() });
const Whole = defineTask({ name: "whole", input: type<number>(), output: type<unknown>() });

test("a feature that has ended is kept for as long as its parent may ask for it", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "a", capacity: 2 })
    .does(Leaf, (n) => n)
    .does(Whole, async (n, ctx) => {
      const results = await ctx.feature("parts", {
        title: "parts",
        tasks: [{ name: "one", definition: Leaf, input: n }],
      });
      await ctx.sleep("long", 60_000);
      return results;
    });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Whole, 1, { id: "w" });
  const guard = teamStreams.find(({ prefix }) => prefix === "feature/")!;
  await bench.clock.advance(10_000);
  assert.equal((await (await team.features.get("w/parts"))!.state()).status, "completed");
  assert.equal(await guard.isFinished(bench.store, "feature/w/parts"), false);
  await bench.until(task.result());
  assert.equal(await guard.isFinished(bench.store, "feature/w/parts"), true);
  const other = await team.features.create({
    id: "f",
    title: "other",
    tasks: [{ name: "one", definition: defineTask({ name: "nobody" }), input: null }],
  });
  assert.equal(await guard.isFinished(bench.store, "feature/f"), false);
  await other.cancel("enough");
  assert.equal(await guard.isFinished(bench.store, "feature/f"), true);
  await bench.close();
});
