import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type } from "cadre";
import { defineAgent, defineTask, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";

interface Version {
  readonly version: string;
  readonly resumes?: readonly string[];
  readonly drift?: "fail" | "warn";
}

const job = (version: Version) =>
  defineTask({ name: "job", input: type<number>(), output: type<unknown>(), ...version });

/** Does a step, and then does not end. */
const half = async (ctx: TaskContext): Promise<never> => {
  await ctx.step("first", { n: 1 }, () => "one", { undo: () => {} });
  await ctx.clock.sleep(10_000_000, ctx.signal);
  throw new Error("never");
};

function agentOf(version: Version, run: (ctx: TaskContext) => unknown) {
  return defineAgent({ name: "agent" }).does(job(version), (_input, ctx) =>
    run(ctx as TaskContext),
  );
}

/** A store with one task of version 1, half done, and no process. */
async function halfDone() {
  const warnings: string[] = [];
  const bench = testTeam();
  const old = await bench.start({ agents: [agentOf({ version: "1.0.0" }, half)] });
  await old.tasks.create(job({ version: "1.0.0" }), 1, { id: "t" });
  await bench.clock.advance(500);
  await bench.until(old.close({ deadlineMs: 0 }));
  const quiet = (): void => undefined;
  const warn = (message: string): void => void warnings.push(message);
  return { bench, warnings, logger: { debug: quiet, info: quiet, error: quiet, warn } };
}

test("new code leaves running work of other versions to who can take it, and says so", async () => {
  const { bench, warnings, logger } = await halfDone();
  const done = (ctx: TaskContext) => ctx.step("first", { n: 1 }, () => "new", { undo: () => {} });
  const two = await bench.start({ agents: [agentOf({ version: "2.0.0" }, done)], logger });
  assert.deepEqual(two.stranded(), [{ name: "job", version: "1.0.0", count: 1 }]);
  assert.match(warnings.join(), /1 of job 1\.0\.0/);
  await bench.clock.advance(60_000);
  assert.equal((await two.tasks.get("t"))?.status, "offered");
  const fresh = await two.tasks.create(job({ version: "2.0.0" }), 2);
  assert.equal(await bench.until(fresh.result()), "new");
  // The old code, started beside it, drains what is its own.
  await bench.start({ agents: [agentOf({ version: "1.0.0" }, done)] });
  await bench.clock.advance(60_000);
  assert.equal((await two.tasks.get("t"))?.result, "one", "with the step that is recorded");
  assert.deepEqual(two.stranded(), []);
  await bench.close();
});

test("a team may refuse to start over work that it cannot take", async () => {
  const { bench } = await halfDone();
  const agents = [agentOf({ version: "2.0.0" }, half)];
  await assert.rejects(bench.start({ agents, stranded: "refuse" }), (error: unknown) => {
    assert.ok(isCadreError(error, "WRONG_STATE"));
    assert.match(error.message, /1 of job 1\.0\.0/);
    return true;
  });
  const both = agents[0]!.does(job({ version: "1.0.0" }), (_input, ctx) =>
    half(ctx as TaskContext),
  );
  const team = await bench.start({ agents: [both], stranded: "refuse" });
  assert.deepEqual(team.stranded(), []);
  await bench.close();
});

for (const [what, run, kind] of [
  ["another input", (ctx: TaskContext) => ctx.step("first", { n: 2 }, () => "new"), "input"],
  ["no such step", (ctx: TaskContext) => ctx.step("second", () => "new"), "missing"],
] as const) {
  for (const drift of ["fail", "warn"] as const) {
    test(`code that resumes with ${what} is drift on record, and may ${drift}`, async () => {
      const { bench } = await halfDone();
      const version = { version: "2.0.0", resumes: ["1.0.0"], drift };
      const team = await bench.start({ agents: [agentOf(version, run)] });
      await bench.clock.advance(60_000);
      const state = await team.tasks.get("t");
      const drifts: unknown[] = [];
      for await (const { event } of bench.store.read({ stream: "task/t", type: "step.drift" })) {
        const { step, kind: found, policy } = event.payload as Record<string, unknown>;
        drifts.push({ step, kind: found, policy });
      }
      assert.deepEqual(drifts, [{ step: "first", kind, policy: drift }]);
      if (drift === "warn") {
        assert.equal(state?.result, kind === "input" ? "one" : "new");
      } else {
        // It goes back; and the undo of the recorded step is not in the new code.
        assert.equal(state?.status, "stuck");
        assert.equal(state.undoing?.error?.code, "STEP_DRIFT");
      }
      await bench.close();
    });
  }
}
