import assert from "node:assert/strict";
import { test } from "node:test";

import { TerminalError, type } from "cadre";
import { defineAgent, defineTask, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Job = defineTask({ name: "job", input: type<number>(), output: type<unknown>() });

function agentOf(run: (ctx: TaskContext) => unknown) {
  return defineAgent({ name: "agent" }).does(Job, (_input, ctx) => run(ctx as TaskContext));
}

test("the backoff of an undo goes on over a restart", async () => {
  const bench = testTeam();
  const tries: number[] = [];
  const agent = agentOf(async (ctx) => {
    await ctx.step("a", () => 1, {
      undoRetry: { maxAttempts: 4, delayMs: 10_000 },
      undo: () => {
        tries.push(bench.clock.monotonic());
        if (tries.length < 3) throw new Error("not now");
      },
    });
    throw new TerminalError("no");
  });
  const first = await bench.start({ agents: [agent] });
  await first.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(12_000);
  assert.equal(tries.length, 2);
  await bench.until(first.close({ deadlineMs: 0 }));
  const second = await bench.start({ agents: [agent] });
  await bench.clock.advance(60_000);
  assert.equal((await second.tasks.get("t"))?.status, "failed");
  const waits = tries.slice(1).map((at, index) => Math.round(at - tries[index]!));
  assert.deepEqual(waits, [10_000, 20_000]);
  await bench.close();
});

test("a step with an undo that still runs at the close has its receipt", async () => {
  const bench = testTeam();
  let runs = 0;
  const agent = agentOf((ctx) =>
    ctx.step("a", () => ctx.clock.sleep(1_000).then(() => (runs += 1)), { undo: () => {} }),
  );
  const first = await bench.start({ agents: [agent] });
  await first.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(100);
  const { elapsedMs } = await bench.until(first.close({ deadlineMs: 0 }));
  assert.ok(elapsedMs < 2_000, `it took ${elapsedMs} ms`);
  const second = await bench.start({ agents: [agent] });
  await bench.clock.advance(10_000);
  assert.equal((await second.tasks.get("t"))?.result, 1);
  assert.equal(runs, 1);
  await bench.close();
});
