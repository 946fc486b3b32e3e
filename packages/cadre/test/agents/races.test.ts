import assert from "node:assert/strict";
import { test } from "node:test";

import { CadreError, isCadreError, TerminalError, type, type EventStore } from "cadre";
import { defineAgent, defineTask, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Job = defineTask({ name: "job", input: type<number>(), output: type<unknown>() });

function agentOf(run: (ctx: TaskContext) => unknown) {
  return defineAgent({ name: "agent" }).does(Job, (_input, ctx) => run(ctx as TaskContext));
}

async function countOf(store: EventStore, wanted: string): Promise<number> {
  let count = 0;
  for await (const { event } of store.read({ stream: "task/t" })) {
    if (event.type === wanted) count += 1;
  }
  return count;
}

test("a cancelled step that does not listen has its effect before its undo", async () => {
  const bench = testTeam();
  const did: string[] = [];
  const agent = agentOf((ctx) =>
    ctx.step(
      "slow",
      async () => {
        await ctx.clock.sleep(6_000);
        did.push("effect");
      },
      { after: "retry", undo: () => did.push("undo") },
    ),
  );
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(100);
  await handle.cancel("stop");
  await assert.rejects(bench.until(handle.result()), /stop/);
  await bench.clock.advance(20_000);
  assert.deepEqual(did, ["effect", "undo"]);
  await bench.close();
});

test("an effect that comes in the middle of its undo is undone again", async () => {
  const bench = testTeam();
  const did: string[] = [];
  const agent = agentOf((ctx) =>
    Promise.all([
      ctx.step(
        "slow",
        async () => {
          await ctx.clock.sleep(30_000);
          did.push("effect");
        },
        {
          after: "retry",
          undo: async () => {
            did.push("undo begins");
            await ctx.clock.sleep(40_000);
            did.push("undo ends");
          },
        },
      ),
      ctx.step("fast", () => {
        throw new TerminalError("no");
      }),
    ]),
  );
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  await assert.rejects(bench.until(handle.result(), 600_000), /no/);
  assert.deepEqual(did, ["undo begins", "effect", "undo ends", "undo begins", "undo ends"]);
  await bench.close();
});

for (const [what, error] of [
  ["refusal", new TerminalError("declined")],
  ["failure", new Error("the answer was lost")],
] as const) {
  test(`a handler that went on after a step's ${what} is taken back by another process`, async () => {
    const bench = testTeam();
    const did: string[] = [];
    const agent = agentOf(async (ctx) => {
      await ctx
        .step("card", () => Promise.reject(error), { after: "retry" })
        .catch(() => did.push("no card"));
      await ctx.step("cash", () => did.push("cash"), { undo: () => did.push("undo cash") });
      await ctx.clock.sleep(10_000_000, ctx.signal);
    });
    const first = await bench.start({ agents: [agent] });
    await first.tasks.create(Job, 1, { id: "t" });
    await bench.clock.advance(1_000);
    await bench.until(first.close({ deadlineMs: 0 }));
    const asking = await bench.start({ name: "asking" });
    await asking.tasks.cancel("t", "stop");
    await bench.start({ agents: [agent] });
    await bench.clock.advance(5_000);
    assert.equal((await asking.tasks.get("t"))?.status, "cancelled");
    assert.deepEqual(did, ["no card", "cash", "no card", "undo cash"]);
    await bench.close();
  });
}

test("a step that was refused beside a pivot is tried again past it", async () => {
  const bench = testTeam();
  let tries = 0;
  const agent = agentOf((ctx) =>
    Promise.all([
      ctx.step("pivot", () => ctx.clock.sleep(1_000).then(() => "sent"), { pivot: true }),
      ctx.step("beside", () => {
        tries += 1;
        if (tries < 3) throw new TerminalError("no");
        return "yes";
      }),
    ]),
  );
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  assert.deepEqual(await bench.until(handle.result()), ["sent", "yes"]);
  await bench.close();
});

test("a person cannot fail a step past the pivot", async () => {
  const bench = testTeam();
  let tries = 0;
  const agent = agentOf(async (ctx) => {
    await ctx.step("pivot", () => "sent", { pivot: true });
    await ctx.step(
      "mail",
      () => {
        tries += 1;
        throw new Error("the answer was lost");
      },
      { after: "ask" },
    );
  });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(10_000);
  assert.equal((await handle.state()).status, "in_doubt");
  await assert.rejects(team.resolveStep("t", "mail", { action: "fail" }), (refused: unknown) =>
    isCadreError(refused, "WRONG_STATE"),
  );
  await team.resolveStep("t", "mail", { action: "done" });
  assert.equal(await bench.until(handle.result()), null);
  assert.equal(tries, 1);
  await bench.close();
});

test("a second pivot that is skipped leaves the first one", async () => {
  const bench = testTeam();
  const agent = agentOf(async (ctx) => {
    await ctx.step("first", () => "sent", { pivot: true });
    await ctx
      .step("second", () => Promise.reject(new Error("lost")), { pivot: true, after: "skip" })
      .then(() => ctx.clock.sleep(10_000_000, ctx.signal));
  });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(10_000);
  await bench.clock.advance(10_000);
  const { pivot, status } = await handle.state();
  assert.deepEqual({ pivot, status }, { pivot: "first", status: "running" });
  await bench.close();
});

test("a deadline that passes while a pivot runs does not stop it", async () => {
  const bench = testTeam();
  const aborted: boolean[] = [];
  const agent = agentOf((ctx) =>
    ctx.step(
      "pivot",
      async () => {
        await ctx.clock.sleep(5_000);
        aborted.push(ctx.signal.aborted);
      },
      { pivot: true },
    ),
  );
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t", deadlineMs: 2_000 });
  await bench.until(handle.result());
  assert.deepEqual(aborted, [false]);
  await bench.close();
});

test("a close that comes while a cancelled step is waited for lets the way back go", async () => {
  const bench = testTeam();
  let undos = 0;
  const agent = agentOf((ctx) =>
    ctx.step("slow", () => ctx.clock.sleep(1_500), {
      undo: () => {
        undos += 1;
        throw new Error("not now");
      },
    }),
  );
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(100);
  await handle.cancel("stop");
  await bench.clock.advance(100);
  const report = await bench.until(team.close({ deadlineMs: 500 }), 600_000);
  assert.ok(report.elapsedMs < 5_000, `it took ${report.elapsedMs} ms`);
  assert.equal(undos, 0);
  await bench.close();
});

test("what was undone before a close is not undone again", async () => {
  const bench = testTeam();
  const did: string[] = [];
  const agent = agentOf(async (ctx) => {
    const lost = ctx.step("a", () => Promise.reject(new Error("lost")), {
      after: "check",
      check: () => ctx.clock.sleep(10_000).then(() => undefined),
      undo: () => did.push("undo a"),
    });
    await lost.catch(() => undefined);
    await ctx.step("b", () => 2, { undo: () => did.push("undo b") });
    throw new TerminalError("no");
  });
  const first = await bench.start({ agents: [agent] });
  await first.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(1_000);
  await bench.until(first.close({ deadlineMs: 0 }));
  const second = await bench.start({ agents: [agent] });
  await bench.clock.advance(30_000);
  assert.equal((await second.tasks.get("t"))?.status, "failed");
  assert.deepEqual(did, ["undo b"]);
  await bench.close();
});

test("what a handler has done is known to its next attempt, also when its end was refused", async () => {
  const bench = testTeam();
  let runs = 0;
  let refusals = 0;
  const agent = agentOf((ctx) => ctx.step("a", () => (runs += 1)));
  const team = await bench.start({ agents: [agent] });
  const { commit } = bench.store;
  bench.store.commit = (work) => {
    const ends = work.appends?.some(({ events }) =>
      events.some((event) => event.type === "task.completed"),
    );
    if (!ends || refusals > 0) return commit.call(bench.store, work);
    refusals += 1;
    return Promise.reject(new CadreError("INTERNAL", "no", { what: "test" }));
  };
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  assert.equal(await bench.until(handle.result()), 1);
  assert.deepEqual({ runs, refusals }, { runs: 1, refusals: 1 });
  assert.equal(await countOf(bench.store, "step.receipt"), 1);
  await bench.close();
});

test("an attempt that is over leaves nothing behind that waits", async () => {
  const bench = testTeam();
  const signals: AbortSignal[] = [];
  const agent = agentOf((ctx) => {
    signals.push(ctx.signal);
    if (signals.length > 1)
      return Promise.race([ctx.waitFor("custom.never"), Promise.resolve("done")]);
    return Promise.all([ctx.waitFor("custom.never"), Promise.reject(new Error("again"))]);
  });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  assert.equal(await bench.until(handle.result()), "done");
  await bench.clock.settle();
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [true, true],
  );
  await bench.close();
});

test("a handler may leave what it waits for behind", async () => {
  const bench = testTeam();
  const agent = agentOf((ctx) => {
    void ctx.waitFor("custom.never");
    void ctx.sleep("long", 10_000_000);
    return "done";
  });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  assert.equal(await bench.until(handle.result()), "done");
  await bench.close();
});

test("an undo is not given another input than its step had", async () => {
  const bench = testTeam();
  const inputs: number[] = [];
  const agent = (amount: number) =>
    agentOf(async (ctx) => {
      await ctx.step("pay", { amount }, () => "paid", {
        undo: ({ input }) => inputs.push(input.amount),
      });
      await ctx.clock.sleep(10_000_000, ctx.signal);
    });
  const first = await bench.start({ agents: [agent(10)] });
  await first.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(1_000);
  await bench.until(first.close({ deadlineMs: 0 }));
  const asking = await bench.start({ name: "asking" });
  await asking.tasks.cancel("t", "stop");
  const second = await bench.start({ agents: [agent(20)] });
  await bench.clock.advance(5_000);
  const state = await second.tasks.get("t");
  assert.deepEqual({ status: state?.status, inputs }, { status: "stuck", inputs: [] });
  await bench.until(second.close({ deadlineMs: 0 }));
  const third = await bench.start({ agents: [agent(10)] });
  await third.resolveStep("t", "pay", { action: "retry" });
  await bench.clock.advance(5_000);
  assert.equal((await third.tasks.get("t"))?.status, "cancelled");
  assert.deepEqual(inputs, [10]);
  await bench.close();
});

test("a task lists what it owes in the order in which its steps ended", async () => {
  const bench = testTeam();
  const agent = agentOf(async (ctx) => {
    const step = (name: string, ms: number) =>
      ctx.step(name, () => ctx.clock.sleep(ms), { undo: () => {} });
    await Promise.all([step("slow", 500), step("fast", 100)]);
    await ctx.clock.sleep(10_000_000, ctx.signal);
  });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(1_000);
  assert.deepEqual((await handle.state()).undoable, ["fast", "slow"]);
  await bench.close();
});

test("a check that hangs on the way back does not hold up the close", async () => {
  const bench = testTeam();
  const agent = agentOf((ctx) =>
    ctx.step("a", () => Promise.reject(new Error("lost")), {
      after: "check",
      check: () => new Promise<never>(() => {}),
      undo: () => {},
    }),
  );
  const team = await bench.start({ agents: [agent] });
  await team.tasks.create(Job, 1, { id: "t", maxAttempts: 1 });
  await bench.clock.advance(1_000);
  const report = await bench.until(team.close({ deadlineMs: 500 }));
  assert.equal(report.released, 1);
  await bench.close();
});
