import assert from "node:assert/strict";
import { test } from "node:test";

import {
  CadreError,
  TerminalError,
  type,
  type Commit,
  type CommitResult,
  type EventStore,
} from "cadre";
import { defineAgent, defineTask, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { changed } from "../changed.ts";

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

test("branches beside a refused one show their undos to another process", async () => {
  const bench = testTeam();
  const undone: string[] = [];
  let isPatient = true;
  const agent = agentOf(async (ctx) => {
    const step = (name: string) => ctx.step(name, () => name, { undo: () => undone.push(name) });
    const left = ctx.step("left", () => {
      throw new TerminalError("no");
    });
    const right = async (): Promise<void> => {
      await step("x");
      await ctx.clock.sleep(10);
      await step("y");
    };
    if (isPatient) await Promise.allSettled([left, right()]);
    else await Promise.all([left, right()]);
    await ctx.clock.sleep(10_000_000, ctx.signal);
  });
  const first = await bench.start({ agents: [agent] });
  await first.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(100);
  await bench.until(first.close({ deadlineMs: 0 }));
  isPatient = false;
  const asking = await bench.start({ name: "asking" });
  await asking.tasks.cancel("t", "stop");
  await bench.start({ agents: [agent] });
  await bench.clock.advance(5_000);
  assert.equal((await asking.tasks.get("t"))?.status, "cancelled");
  assert.deepEqual(undone, ["y", "x"]);
  await bench.close();
});

/** A process that freezes at a write, or when it is told to: no beat of it arrives any more. */
function freezing(store: EventStore, freezes: (commit: Commit) => boolean = () => false) {
  const thaws: (() => void)[] = [];
  const frozen = (): Promise<void> => new Promise((resolve) => thaws.push(resolve));
  const commit = async (work: Commit): Promise<CommitResult> => {
    const isBeat = work.slots?.some(({ name }) => name.startsWith("presence/"));
    if (thaws.length > 0 && isBeat) {
      throw new CadreError("STORE_UNAVAILABLE", "frozen", { path: "", reason: "test" });
    }
    const written = await store.commit(work);
    if (freezes(work)) await frozen();
    return written;
  };
  const seen = changed(store, { commit });
  return { store: seen, freeze: frozen, thaw: () => thaws.splice(0).forEach((go) => go()) };
}

const writesIntent = ({ appends = [] }: Commit): boolean =>
  appends.some(({ events }) => events.some(({ type: name }) => name === "step.undo_intent"));

test("an owner that thaws in the middle of the way back undoes nothing any more", async () => {
  const bench = testTeam();
  const undone: string[] = [];
  const agentNamed = (name: string) =>
    defineAgent({ name }).does(Job, async (_input, ctx) => {
      await ctx.step("a", () => 1, { undo: () => undone.push(`a by ${ctx.agent}`) });
      await ctx.step("b", () => 1, { undo: () => undone.push(`b by ${ctx.agent}`) });
      throw new TerminalError("no");
    });
  const { store, thaw } = freezing(bench.store, writesIntent);
  await bench.start({ agents: [agentNamed("first")], store });
  const asking = await bench.start({ name: "asking" });
  const handle = await asking.tasks.create(Job, 1, { id: "t" });
  await bench.clock.advance(1_000);
  assert.deepEqual(undone, []);
  await bench.start({ agents: [agentNamed("second")] });
  await assert.rejects(bench.until(handle.result()), /no/);
  thaw();
  await bench.clock.advance(1_000);
  assert.deepEqual(undone, ["b by second", "a by second"]);
  await bench.close();
});

test("an undo that kills its owners waits for a person after ten of them", async () => {
  const bench = testTeam();
  const undone: string[] = [];
  let kill: (() => Promise<void>) | undefined;
  const agent = agentOf(async (ctx) => {
    const slow = ctx.step("slow", () => ctx.clock.sleep(50), {
      undo: async () => {
        await kill?.();
        undone.push("slow");
      },
    });
    await ctx.step("fast", () => 1, { undo: () => undone.push("fast") });
    await slow;
    throw new TerminalError("no");
  });
  const asking = await bench.start({ name: "asking" });
  const handle = await asking.tasks.create(Job, 1, { id: "t" });
  for (let owner = 0; owner < 10; owner += 1) {
    const { store, freeze } = freezing(bench.store);
    kill = freeze;
    await bench.start({ agents: [agent], store });
    await bench.clock.advance(20_000);
  }
  kill = undefined;
  const { status, question } = await handle.state();
  assert.deepEqual(
    { status, question },
    { status: "stuck", question: { step: "slow", phase: "undo" } },
  );
  await asking.resolveStep("t", "slow", { action: "retry" });
  await bench.start({ agents: [agent] });
  await assert.rejects(bench.until(handle.result()), /no/);
  assert.deepEqual(undone, ["slow", "fast"]);
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
