import assert from "node:assert/strict";
import { test } from "node:test";

import { TerminalError, type, type Clock, type EventStore } from "cadre";
import { defineAgent, defineTask, type StepOptions, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Job = defineTask({ name: "job", input: type<number>(), output: type<unknown>() });

function agentOf(run: (ctx: TaskContext) => unknown) {
  return defineAgent({ name: "agent" }).does(Job, (_input, ctx) => run(ctx as TaskContext));
}

/** Steps and undos that write down what they do. */
function recorder() {
  const did: string[] = [];
  const step = (ctx: TaskContext, name: string, options: StepOptions<string, { n: string }> = {}) =>
    ctx.step(
      name,
      { n: name },
      () => {
        did.push(name);
        return `${name}!`;
      },
      {
        undo: ({ key, input, result }) => {
          did.push(`undo ${input.n} ${result} ${key.split("/").at(-1)}`);
        },
        ...options,
      },
    );
  return { did, step };
}

async function typesOf(store: EventStore, stream: string): Promise<string[]> {
  const types: string[] = [];
  for await (const { event } of store.read({ stream })) types.push(event.type);
  return types;
}

test("a failure undoes the finished steps backwards, with their inputs, results and keys", async () => {
  const bench = testTeam();
  const { did, step } = recorder();
  const team = await bench.start({
    agents: [
      agentOf(async (ctx) => {
        await step(ctx, "a");
        await step(ctx, "b");
        throw new TerminalError("no");
      }),
    ],
  });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  await assert.rejects(bench.until(handle.result()), /no/);
  assert.deepEqual(did, ["a", "b", "undo b b! b", "undo a a! a"]);
  const types = await typesOf(bench.store, "task/t");
  assert.deepEqual(types.slice(types.indexOf("saga.undo_started")), [
    "saga.undo_started",
    "step.undo_intent",
    "step.undo_receipt",
    "step.undo_intent",
    "step.undo_receipt",
    "saga.undone",
    "task.failed",
  ]);
  await bench.close();
});

test("exhausted attempts, a deadline and a cancellation take the same way back", async () => {
  const ways = {
    attempts: async (ctx: TaskContext): Promise<void> => {
      await Promise.resolve(ctx);
      throw new Error("again and again");
    },
    deadline: (ctx: TaskContext): Promise<void> => ctx.clock.sleep(10_000_000, ctx.signal),
    cancelled: (ctx: TaskContext): Promise<void> => ctx.clock.sleep(10_000_000, ctx.signal),
  };
  for (const [way, fail] of Object.entries(ways)) {
    const bench = testTeam();
    const { did, step } = recorder();
    const team = await bench.start({
      agents: [
        agentOf(async (ctx) => {
          await step(ctx, "a");
          await fail(ctx);
        }),
      ],
    });
    const handle = await team.tasks.create(Job, 1, {
      id: "t",
      ...(way === "deadline" ? { deadlineMs: 5_000 } : {}),
    });
    if (way === "cancelled") {
      await bench.clock.advance(100);
      await handle.cancel("stop");
    }
    await assert.rejects(bench.until(handle.result()));
    assert.deepEqual(did, ["a", "undo a a! a"], way);
    const { status } = await handle.state();
    assert.equal(status, way === "cancelled" ? "cancelled" : "failed");
    await bench.close();
  }
});

test("a task whose owner is gone is taken back by who never ran its steps", async () => {
  const bench = testTeam();
  const { did, step } = recorder();
  const agent = agentOf(async (ctx) => {
    await step(ctx, "a");
    await ctx.clock.sleep(200, ctx.signal);
    await step(ctx, "b");
    await ctx.clock.sleep(10_000_000, ctx.signal);
  });
  const first = await bench.start({ agents: [agent], name: "first" });
  await first.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(1_000);
  await bench.until(first.close({ deadlineMs: 0 }));
  const second = await bench.start({ name: "second" });
  await second.tasks.cancel("t", "stop");
  await bench.start({ agents: [agent], name: "third" });
  await bench.clock.advance(60_000);
  assert.equal((await second.tasks.get("t"))?.status, "cancelled");
  assert.deepEqual(did, ["a", "b", "undo b b! b", "undo a a! a"]);
  await bench.close();
});

test("an undo that fails is tried again with backoff, and the tries are on record", async () => {
  const bench = testTeam();
  const tries: number[] = [];
  const { step } = recorder();
  const team = await bench.start({
    agents: [
      agentOf(async (ctx) => {
        await step(ctx, "a", {
          undo: () => {
            tries.push(bench.clock.monotonic());
            if (tries.length < 4) throw new Error("not now");
          },
        });
        throw new TerminalError("no");
      }),
    ],
  });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  await assert.rejects(bench.until(handle.result()), /no/);
  const waits = tries.slice(1).map((at, index) => Math.round(at - tries[index]!));
  assert.deepEqual(waits, [200, 400, 800]);
  const types = await typesOf(bench.store, "task/t");
  assert.equal(types.filter((name) => name === "step.undo_failed").length, 3);
  await bench.close();
});

for (const [action, after] of [
  ["retry", ["undo b", "undo b", "undo b", "undo b", "undo a"]],
  ["done", ["undo b", "undo b", "undo b", "undo a"]],
  ["skip", ["undo b", "undo b", "undo b", "undo a"]],
] as const) {
  test(`a stuck undo stands still and visible until a person says "${action}"`, async () => {
    const bench = testTeam();
    const undos: string[] = [];
    const { step } = recorder();
    const agent = agentOf(async (ctx) => {
      await step(ctx, "a", { undo: () => undos.push("undo a") });
      await step(ctx, "b", {
        undoRetry: { maxAttempts: 3 },
        undo: () => {
          undos.push("undo b");
          if (undos.length < 4) throw new Error("the bank is closed");
        },
      });
      throw new TerminalError("no");
    });
    const team = await bench.start({ agents: [agent] });
    const handle = await team.tasks.create(Job, 1, { id: "t" });
    await bench.clock.advance(600_000);
    const { status, question } = await handle.state();
    assert.equal(status, "stuck");
    assert.deepEqual(question, { step: "b", phase: "undo" });
    assert.deepEqual(
      (await team.sagas.list({ phase: "stuck" })).map(({ id }) => id),
      ["t"],
    );
    assert.equal(undos.length, 3, "nothing runs while it is stuck");
    await team.resolveStep("t", "b", { action, by: "ada" });
    await assert.rejects(bench.until(handle.result()), /no/);
    assert.deepEqual(undos, after);
    const saga = await team.sagas.get("t");
    const expected = action === "skip" ? "kept" : "undone";
    assert.deepEqual(
      saga?.steps.map((each) => [each.name, each.status]),
      [
        ["a", "undone"],
        ["b", expected],
      ],
    );
    await bench.close();
  });
}

test("after a pivot the task only goes forward, whatever fails and whoever cancels", async () => {
  const bench = testTeam();
  const { did, step } = recorder();
  let failures = 0;
  const team = await bench.start({
    agents: [
      agentOf(async (ctx) => {
        await step(ctx, "a");
        await ctx.step("pivot", () => "sent", { pivot: true });
        return ctx.step("mail", () => {
          failures += 1;
          if (failures < 12) throw new TerminalError("the mail server refuses");
          return "mailed";
        });
      }),
    ],
  });
  const handle = await team.tasks.create(Job, 1, { id: "t", maxAttempts: 2, deadlineMs: 60_000 });
  await bench.clock.advance(1_500);
  assert.equal(await team.tasks.cancel("t", "too late"), false);
  await bench.clock.advance(60_000);
  const { pivot, attempt } = await handle.state();
  assert.equal(pivot, "pivot");
  assert.ok(attempt > 5, "it is tried again and again");
  assert.equal(await bench.until(handle.result(), 600_000), "mailed");
  assert.deepEqual(did, ["a"], "nothing is undone");
  await bench.close();
});

test("a pivot that is refused leads back", async () => {
  const bench = testTeam();
  const { did, step } = recorder();
  const team = await bench.start({
    agents: [
      agentOf(async (ctx) => {
        await step(ctx, "a");
        await ctx.step(
          "pivot",
          () => {
            throw new TerminalError("sold out");
          },
          { pivot: true },
        );
      }),
    ],
  });
  const handle = await team.tasks.create(Job, 1);
  await assert.rejects(bench.until(handle.result()), /sold out/);
  assert.deepEqual(did, ["a", "undo a a! a"]);
  await bench.close();
});

for (const [after, undone] of [
  ["retry", ["undo undefined"]],
  ["check", ["undo found"]],
  ["skip", []],
] as const) {
  test(`a step in doubt on the way back follows its policy: ${after}`, async () => {
    const bench = testTeam();
    const undos: string[] = [];
    const team = await bench.start({
      agents: [
        agentOf((ctx) =>
          ctx.step(
            "a",
            () => {
              throw new Error("the answer was lost");
            },
            { after, check: () => "found", undo: ({ result }) => undos.push(`undo ${result}`) },
          ),
        ),
      ],
    });
    const handle = await team.tasks.create(Job, 1, { maxAttempts: 1 });
    await assert.rejects(bench.until(handle.result()), /the answer was lost/);
    assert.deepEqual(undos, undone);
    await bench.close();
  });
}

test("a branch that still runs when another fails has its receipt before it is undone", async () => {
  const bench = testTeam();
  const undos: unknown[] = [];
  const team = await bench.start({
    agents: [
      agentOf((ctx) =>
        Promise.all([
          ctx.step("slow", () => ctx.clock.sleep(3_000).then(() => "slow"), {
            undo: ({ result }) => undos.push(result),
          }),
          ctx.step("fast", () => {
            throw new TerminalError("no");
          }),
        ]),
      ),
    ],
  });
  const handle = await team.tasks.create(Job, 1);
  await assert.rejects(bench.until(handle.result()), /no/);
  assert.deepEqual(undos, ["slow"]);
  await bench.close();
});

test("an undo that the code no longer has is stuck, and says so", async () => {
  const bench = testTeam();
  const first = await bench.start({
    agents: [
      agentOf(async (ctx) => {
        await ctx.step("a", () => 1, { undo: () => {} });
        await ctx.clock.sleep(10_000_000, ctx.signal);
      }),
    ],
  });
  await first.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(100);
  await bench.until(first.close({ deadlineMs: 0 }));
  const second = await bench.start({ agents: [agentOf((ctx) => ctx.step("b", () => 1))] });
  await second.tasks.cancel("t", "stop");
  await bench.clock.advance(60_000);
  const state = await second.tasks.get("t");
  assert.equal(state?.status, "stuck");
  const story: string[] = [];
  for await (const { event } of bench.store.read({ stream: "task/t" }))
    if (event.type === "saga.undo_stuck") story.push(JSON.stringify(event.payload));
  assert.match(story.join(), /no such step, or no undo/);
  await bench.close();
});

test("an undo in a handler of an event is refused clearly", async () => {
  const bench = testTeam();
  const errors: string[] = [];
  const team = await bench.start({
    agents: [
      defineAgent({ name: "ear" }).on("custom.said", { retry: { maxAttempts: 1 } }, (_event, ctx) =>
        ctx.step("a", () => 1, { undo: () => {} }),
      ),
    ],
  });
  team.bus.onError(({ message }) => void errors.push(message));
  await team.bus.publish("custom.said", {});
  await bench.clock.advance(1_000);
  assert.match(errors.join("\n"), /handler of an event only goes forward/);
  await bench.close();
});

test("a sleep that was over stays over on the way back, whatever the wall clock says", async () => {
  const bench = testTeam();
  const { did, step } = recorder();
  const agent = agentOf(async (ctx) => {
    await ctx.sleep("nap", 1_000);
    await step(ctx, "a");
    await ctx.clock.sleep(10_000_000, ctx.signal);
  });
  const first = await bench.start({ agents: [agent] });
  await first.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(5_000);
  await bench.until(first.close({ deadlineMs: 0 }));
  const { clock } = bench;
  const setBack: Clock = {
    now: () => clock.now() - 600_000,
    monotonic: () => clock.monotonic(),
    after: (ms, run) => clock.after(ms, run),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    yield: () => clock.yield(),
  };
  const second = await bench.start({ agents: [agent], clock: setBack });
  await second.tasks.cancel("t", "stop");
  await bench.clock.advance(60_000);
  assert.equal((await second.tasks.get("t"))?.status, "cancelled");
  assert.deepEqual(did, ["a", "undo a a! a"]);
  await bench.close();
});
