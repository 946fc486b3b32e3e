/** Models and tools of the real SDK, in both majors, as steps. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { testTeam } from "cadre/testing";
import { countingModel, Report, reporter, sdks, type World } from "./models-sdk.ts";

for (const sdk of sdks) {
  for (const streams of [false, true]) {
    const how = `${sdk.name}, ${streams ? "streamed" : "at once"}`;
    test(`a tool loop is one step for each call of the model and of a tool (${how})`, async () => {
      const world: World = { paid: [], booked: [] };
      const bench = testTeam();
      const agents = [reporter(sdk, countingModel(world, sdk), world, streams)];
      const team = await bench.start({ agents });
      const task = await team.tasks.create(Report, { city: "Oslo" }, { id: "r" });
      assert.equal(await bench.until(task.result()), "All is booked.");
      const types: string[] = [];
      for await (const { event } of bench.store.read({ stream: "task/r" })) {
        const { step, tool } = event.payload as { readonly step?: string; readonly tool?: string };
        if (step !== undefined) types.push(`${event.type} ${step}${tool ? ` ${tool}` : ""}`);
      }
      assert.deepEqual(types, [
        "step.receipt model#1",
        "model.called model#1",
        "step.receipt weather#call-1-1",
        "tool.invoked weather#call-1-1 weather",
        "step.receipt model#2",
        "model.called model#2",
        "step.receipt book#call-1-1",
        "tool.invoked book#call-1-1 book",
        "step.receipt book#call-1-2",
        "tool.invoked book#call-1-2 book",
        "step.receipt model#3",
        "model.called model#3",
      ]);
      assert.deepEqual(world.paid, ["call 1", "call 2", "call 3"]);
      assert.equal(new Set(world.booked).size, 2);
      await bench.close();
    });

    test(`a tool loop is the same when it is entered again (${how})`, async () => {
      const world: World = { paid: [], booked: [] };
      const bench = testTeam({ strict: true });
      const agents = [reporter(sdk, countingModel(world, sdk), world, streams)];
      const team = await bench.start({ agents });
      const task = await team.tasks.create(Report, { city: "Oslo" });
      assert.equal(await bench.until(task.result()), "All is booked.");
      assert.deepEqual(world.paid, ["call 1", "call 2", "call 3"]);
      assert.equal(world.booked.length, 2);
      await bench.close();
    });
  }
}
