import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Nap = defineTask({ name: "nap", input: type<number>(), output: type<string>() });

test("an hour of a team takes no time", async () => {
  await using bench = testTeam();
  const sleeper = defineAgent({ name: "sleeper" }).does(Nap, async (ms, ctx) => {
    await ctx.sleep("nap", ms);
    return "awake";
  });
  const team = await bench.start({ agents: [sleeper] });
  const task = await team.tasks.create(Nap, 3_600_000);
  assert.equal(await bench.until(task.result(), 3_700_000), "awake");
});

test("runtimes of one test team share the bus and the store", async () => {
  await using bench = testTeam();
  const heard: unknown[] = [];
  await bench.start({
    agents: [
      defineAgent({ name: "ear" }).on("custom.said", (event) => void heard.push(event.payload)),
    ],
  });
  const other = await bench.start();
  await other.bus.publish("custom.said", { word: "hello" });
  await bench.clock.advance(1_000);
  assert.deepEqual(heard, [{ word: "hello" }]);
});

test("waiting for what never comes ends with TIMEOUT", async () => {
  await using bench = testTeam();
  const team = await bench.start();
  const task = await team.tasks.create(Nap, 1);
  await assert.rejects(bench.until(task.result(), 5_000), (error: unknown) =>
    isCadreError(error, "TIMEOUT"),
  );
});
