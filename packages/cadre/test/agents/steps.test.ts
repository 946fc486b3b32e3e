import assert from "node:assert/strict";
import { test } from "node:test";

import { type, type Clock } from "cadre";
import { defineAgent, defineTask, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Job = defineTask({ name: "job", input: type<number>(), output: type<unknown>() });

function agentOf(run: (ctx: TaskContext) => Promise<unknown>) {
  return defineAgent({ name: "agent" }).does(Job, (_input, ctx) => run(ctx as TaskContext));
}

test("a finished step returns its recorded result in a later attempt and is not run again", async () => {
  const bench = testTeam();
  const ran: string[] = [];
  let attempts = 0;
  const team = await bench.start({
    agents: [
      agentOf(async (ctx) => {
        attempts += 1;
        const first = await ctx.step("first", (key) => (ran.push(key), { paid: 5 }));
        if (attempts === 1) throw new Error("crash between the steps");
        const second = await ctx.step("second", (key) => (ran.push(key), "sent"));
        return { first, second };
      }),
    ],
  });
  const handle = await team.tasks.create(Job, 1);
  assert.deepEqual(await bench.until(handle.result()), { first: { paid: 5 }, second: "sent" });
  assert.deepEqual(ran, [`${handle.id}/first`, `${handle.id}/second`]);
  await bench.close();
});

test("a step that comes again with another input is drift", async () => {
  const bench = testTeam();
  let attempts = 0;
  const team = await bench.start({
    agents: [
      agentOf(async (ctx) => {
        attempts += 1;
        await ctx.step("pay", { amount: attempts }, () => null);
        if (attempts === 1) throw new Error("again");
        return null;
      }),
    ],
  });
  const handle = await team.tasks.create(Job, 1, { maxAttempts: 2 });
  await assert.rejects(bench.until(handle.result()), /journaled with another input/);
  await bench.close();
});

test("two steps of one name in one handler are refused", async () => {
  const bench = testTeam();
  const team = await bench.start({
    agents: [
      agentOf(async (ctx) => {
        await ctx.step("same", () => 1);
        await ctx.step("same", () => 2);
        return null;
      }),
    ],
  });
  const handle = await team.tasks.create(Job, 1, { maxAttempts: 1 });
  await assert.rejects(bench.until(handle.result()), /Names are unique/);
  await bench.close();
});

for (const [policy, expected] of [
  ["retry", { runs: 2, result: "ran 2" }],
  ["skip", { runs: 1, result: null }],
  ["check", { runs: 1, result: "found" }],
] as const) {
  test(`a step in doubt follows its policy: ${policy}`, async () => {
    const bench = testTeam();
    let runs = 0;
    const team = await bench.start({
      agents: [
        agentOf((ctx) =>
          ctx.step(
            "effect",
            () => {
              runs += 1;
              if (runs === 1) throw new Error("the answer was lost");
              return `ran ${runs}`;
            },
            { after: policy, check: () => "found" },
          ),
        ),
      ],
    });
    const handle = await team.tasks.create(Job, 1);
    assert.equal(await bench.until(handle.result()), expected.result);
    assert.equal(runs, expected.runs);
    await bench.close();
  });
}

test("a durable sleep waits only for the rest after a failure", async () => {
  const bench = testTeam();
  let attempts = 0;
  const team = await bench.start({
    agents: [
      agentOf(async (ctx) => {
        attempts += 1;
        if (attempts === 1) {
          const sleeping = ctx.sleep("nap", 60_000);
          sleeping.catch(() => undefined);
          await ctx.clock.sleep(40_000);
          throw new Error("woken too early");
        }
        await ctx.sleep("nap", 60_000);
        return ctx.clock.monotonic();
      }),
    ],
  });
  const startedAt = bench.clock.monotonic();
  const handle = await team.tasks.create(Job, 1);
  const endedAt = Number(await bench.until(handle.result()));
  assert.ok(
    endedAt - startedAt >= 60_000 && endedAt - startedAt < 62_000,
    String(endedAt - startedAt),
  );
  await bench.close();
});

test("a durable sleep is never longer than it was asked to be, whatever the wall clock says", async () => {
  const bench = testTeam();
  const Nap = defineTask({ name: "nap", input: type<null>(), output: type<unknown>() });
  const agent = defineAgent({ name: "sleeper" }).does(Nap, async (_input, ctx) => {
    await ctx.sleep("nap", 5_000);
    return (await ctx.waitFor("custom.never", { timeoutMs: 5_000 })) ?? "rested";
  });
  const first = await bench.start({ agents: [agent] });
  await first.tasks.create(Nap, null, { id: "t" });
  await bench.clock.advance(1_000);
  await bench.until(first.close({ deadlineMs: 0 }));
  const { clock } = bench;
  let backMs = 600_000;
  const setBack: Clock = {
    now: () => clock.now() - backMs,
    monotonic: () => clock.monotonic(),
    after: (ms, run) => clock.after(ms, run),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    yield: () => clock.yield(),
  };
  const second = await bench.start({ agents: [agent], clock: setBack });
  await clock.advance(7_000);
  backMs += 600_000;
  await clock.advance(5_000);
  assert.equal((await second.tasks.get("t"))?.result, "rested");
  await bench.close();
});

test("a task of one step costs two commits", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [agentOf((ctx) => ctx.step("only", () => "done"))] });
  let commits = 0;
  const { commit } = bench.store;
  bench.store.commit = (work) => {
    if (work.appends?.some(({ stream }) => stream.startsWith("task/"))) commits += 1;
    return commit.call(bench.store, work);
  };
  const handle = await team.tasks.create(Job, 1);
  await bench.until(handle.result());
  assert.equal(commits, 2);
  await bench.close();
});

test("a step that returned nothing returns nothing in a later attempt too", async () => {
  const bench = testTeam();
  const returned: unknown[] = [];
  const team = await bench.start({
    agents: [
      agentOf(async (ctx) => {
        returned.push(await ctx.step("nothing", () => {}));
        if (returned.length === 1) throw new Error("again");
        return null;
      }),
    ],
  });
  const handle = await team.tasks.create(Job, 1);
  await bench.until(handle.result());
  assert.deepEqual(returned, [undefined, undefined]);
  await bench.close();
});

test('a step with after: "check" and no check is refused at its first run', async () => {
  const bench = testTeam();
  const team = await bench.start({
    agents: [agentOf((ctx) => ctx.step("effect", () => 1, { after: "check" }))],
  });
  const handle = await team.tasks.create(Job, 1);
  await assert.rejects(bench.until(handle.result()), /no check/);
  assert.equal((await handle.state()).attempt, 1);
  await bench.close();
});
