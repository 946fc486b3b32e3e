import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineSaga, defineTask, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Job = defineTask({ name: "job", input: type<number>(), output: type<unknown>() });

/** Runs one handler strictly; resolves with its result, rejects with what close found. */
async function strictly(run: (ctx: TaskContext) => unknown): Promise<unknown> {
  const bench = testTeam({ strict: true });
  const agent = defineAgent({ name: "agent" }).does(Job, (_input, ctx) => run(ctx as TaskContext));
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { maxAttempts: 1 });
  const result = await bench.until(handle.result()).catch(() => undefined);
  await bench.close();
  return result;
}

test("a handler is entered again after every step, and runs each step once", async () => {
  const seen: string[] = [];
  const result = await strictly(async (ctx) => {
    seen.push("enter");
    const a = await ctx.step("a", () => (seen.push("a"), 1));
    await ctx.sleep("nap", 1_000);
    const [b, c] = await Promise.all([
      ctx.step("b", () => (seen.push("b"), a + 1)),
      ctx.step("c", () => (seen.push("c"), a + 2)),
    ]);
    await ctx.publish("custom.said", { b });
    return [a, b, c];
  });
  assert.deepEqual(result, [1, 2, 3]);
  assert.deepEqual(seen, ["enter", "a", "enter", "b", "c", "enter", "enter"]);
});

test("a saga passes strictly, its undos too", async () => {
  const bench = testTeam({ strict: true });
  const undone: unknown[] = [];
  const Saga = defineSaga({ name: "saga", input: type<number>() }, (saga) =>
    saga
      .step("a", ({ input }) => input + 1, { undo: ({ result }) => undone.push(result) })
      .parallel(
        (branch) => branch.step("b", ({ results }) => results.a + 1),
        (branch) =>
          branch.step("c", ({ results }) => results.a + 2, {
            undo: ({ result }) => undone.push(result),
          }),
      )
      .step("d", ({ input }) => {
        if (input === 0) throw new Error("no");
        return "d";
      }),
  );
  const team = await bench.start({ agents: [defineAgent({ name: "agent" }).does(Saga)] });
  const good = await team.sagas.start(Saga, 1, { key: "good" });
  assert.deepEqual(await bench.until(good.result()), { a: 2, b: 3, c: 4, d: "d" });
  const bad = await team.sagas.start(Saga, 0, { key: "bad" });
  await assert.rejects(bench.until(bad.result()), /no/);
  assert.deepEqual(undone, [3, 1]);
  await bench.close();
});

let count = 0;
const differing: Readonly<Record<string, [(ctx: TaskContext) => unknown, RegExp]>> = {
  "another name": [
    async (ctx) => {
      await ctx.step(`step-${(count += 1)}`, () => 1);
      return ctx.step("last", () => 2);
    },
    /At step "step-\d+": first step "step-\d+", then step "step-\d+"/,
  ],
  "another input": [
    async (ctx) => {
      await ctx.step("pay", { amount: (count += 1) }, () => 1);
      return ctx.step("last", () => 2);
    },
    /"pay" was journaled with another input/,
  ],
  "another result": [
    async (ctx) => {
      await ctx.step("a", () => 1);
      return (count += 1);
    },
    /At step "a": first the result \d+, then the result \d+/,
  ],
  "another event": [
    async (ctx) => {
      await ctx.step("a", () => 1);
      await ctx.publish("custom.said", { n: (count += 1) });
      return null;
    },
    /first the events custom\.said/,
  ],
  "another record": [
    async (ctx) => {
      await ctx.step("a", () => 1);
      ctx.record("custom.noted", { n: (count += 1) });
      return null;
    },
    /first the records custom\.noted/,
  ],
  "a new step at the end": [
    async (ctx) => {
      await ctx.step("a", () => 1);
      if ((count += 1) % 2 === 0) await ctx.step(`late-${count}`, () => 1);
      return null;
    },
    /not the same when it runs again/,
  ],
};

for (const [what, [run, message]] of Object.entries(differing)) {
  test(`a handler with ${what} each time fails the test, saying where`, async () => {
    count = 0;
    await assert.rejects(strictly(run), message);
  });
}
