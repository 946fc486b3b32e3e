/** Budgets at their edges: restarts, lost answers, orphans, races of processes on one file. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { CadreError, memoryStore, systemClock, type, type EventStore } from "cadre";
import { defineAgent, defineTask, type ModelOptions } from "cadre/agents";
import { sqliteStore } from "cadre/sqlite";
import { scriptedModel, SeededRandom, testTeam, VirtualClock, type TestTeam } from "cadre/testing";
import { BudgetLedger, isReservation } from "#src/agents/models/budget-ledger.ts";

const Write = defineTask({ name: "write", input: type<{ n: number }>(), output: type<string>() });

const usage = { inputTokens: 30, outputTokens: 20 };
const worst = { tokens: 100, calls: 1, money: 1 };
const dayMs = 86_400_000;

function writer(options: ModelOptions = {}, model = scriptedModel([])) {
  return defineAgent({ name: "writer", capacity: 8 }).does(Write, async ({ n }, ctx) => {
    const wrapped = ctx.model(model, { estimate: () => 40, ...options });
    let said = "";
    for (let call = 0; call < n; call += 1) {
      const asked = { prompt: [], maxOutputTokens: 60 } as never;
      const answer = (await wrapped.doGenerate(asked)) as {
        readonly content: readonly { readonly text: string }[];
      };
      said = answer.content[0]?.text ?? "";
    }
    return said;
  });
}

const texts = (...said: readonly string[]) => scriptedModel(said.map((text) => ({ text, usage })));

test("a lost answer of the store charges no call that was not made", async () => {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  let losses = 2;
  const commit: EventStore["commit"] = async (work) => {
    const result = await store.commit(work);
    if ((losses -= 1) >= 0) {
      throw new CadreError("STORE_UNAVAILABLE", "the answer was lost", {
        store: "memory",
      } as never);
    }
    return result;
  };
  const flaky = { commit, slot: store.slot.bind(store), slots: store.slots.bind(store) };
  const ledger = new BudgetLedger({ store: flaky, clock, random: new SeededRandom(1) });
  const scopes = [{ id: "task:t", budget: { calls: 2 } }];
  const reserving = ledger.reserve(scopes, "t/model#1", worst);
  await clock.advance(10_000);
  const reserved = await reserving;
  assert.ok(isReservation(reserved));
  losses = 1;
  const settling = ledger.settle(reserved, { tokens: 5, calls: 1, money: 0 });
  await clock.advance(10_000);
  await settling;
  const [known] = await ledger.list();
  assert.deepEqual(known?.spent, { tokens: 5, calls: 1, money: 0 });
  assert.deepEqual([known.reserved.calls, known.doubtful.calls], [0, 0]);
});

test("a store that stays away lets no call through", async () => {
  const bench = testTeam();
  let isAway = false;
  const store = new Proxy(bench.store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...rest: unknown[]) => {
        if (isAway && name === "commit" && JSON.stringify(rest).includes("budget/")) {
          const error = new CadreError("STORE_UNAVAILABLE", "gone", { store: "x" } as never);
          return Promise.reject(error);
        }
        return Reflect.apply(value, target, rest) as unknown;
      };
    },
  });
  const model = texts("a");
  const team = await bench.start({ agents: [writer({}, model)], store });
  isAway = true;
  const task = await team.tasks.create(Write, { n: 1 }, { id: "t", budget: { calls: 1 } });
  await bench.clock.advance(3_000);
  assert.equal(model.calls.length, 0);
  isAway = false;
  assert.equal(await bench.until(task.result()), "a");
  assert.equal(model.calls.length, 1);
  await bench.close();
});

test("what was reserved by the dead long ago is doubtful, and the ledger stays small", async () => {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const ledger = new BudgetLedger({ store, clock, random: new SeededRandom(1) });
  const scopes = [{ id: "tenant:acme", budget: { calls: 1_000 } }];
  for (let index = 0; index < 200; index += 1) {
    const reserved = await ledger.reserve(scopes, `t${index}/model#1`, worst);
    assert.ok(isReservation(reserved));
  }
  await clock.advance(6 * dayMs);
  const mine = await ledger.reserve(scopes, "mine/model#1", worst);
  assert.ok(isReservation(mine));
  const [before] = await ledger.list();
  assert.deepEqual([before?.reserved.calls, before?.doubtful.calls], [201, 0]);
  await clock.advance(2 * dayMs);
  await ledger.settle(mine, { tokens: 5, calls: 1, money: 0 });
  const next = await ledger.reserve(scopes, "next/model#1", worst);
  assert.ok(isReservation(next));
  const [after] = await ledger.list();
  assert.deepEqual(
    [after?.spent.calls, after?.reserved.calls, after?.doubtful.calls],
    [1, 1, 200],
    "nothing is given back",
  );
  const slot = await store.slot("budget/tenant:acme");
  assert.ok((slot?.value.length ?? 0) < 1_000, `${slot?.value.length} characters`);
});

test("processes on one file spend no more than the budget, and lose no spending", async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "cadre-budget-"));
  const stores = [1, 2, 3].map(() => sqliteStore(join(folder, "team.db")));
  context.after(async () => {
    for (const store of stores) await store.close();
    await rm(folder, { recursive: true });
  });
  const clock = systemClock;
  const scopes = [
    { id: "task:t", budget: { calls: 40 } },
    { id: "tenant:a", budget: { tokens: 2_500 } },
  ];
  let admitted = 0;
  const spend = async (store: EventStore, name: string, seed: number): Promise<void> => {
    const ledger = new BudgetLedger({ store, clock, random: new SeededRandom(seed) });
    for (let call = 0; call < 20; call += 1) {
      const reserved = await ledger.reserve(scopes, `${name}/model#${call}`, worst);
      if (!isReservation(reserved)) continue;
      admitted += 1;
      await ledger.settle(reserved, { tokens: 60, calls: 1, money: 0 });
    }
  };
  await Promise.all(
    stores.flatMap((store, n) => [spend(store, `a${n}`, n), spend(store, `b${n}`, 9 + n)]),
  );
  const random = new SeededRandom(9);
  const all = await new BudgetLedger({ store: stores[0]!, clock, random }).list();
  for (const { spent, reserved, doubtful } of all) {
    assert.equal(spent.calls, admitted);
    assert.equal(spent.tokens, 60 * admitted);
    assert.ok(spent.tokens <= 2_500 && spent.calls <= 40);
    assert.deepEqual([reserved.calls, doubtful.calls], [0, 0]);
  }
  // 100 must be free for a call of 60.
  assert.equal(admitted, 40);
});

/** One runtime after another on one store, as restarts of a process. */
async function restart(bench: TestTeam, old: { close(): Promise<unknown> }, agents: object) {
  const closing = old.close();
  await bench.clock.advance(30_000);
  await closing;
  return bench.start(agents);
}

test("a task that asks for budget waits over restarts, and goes on when it was granted", async () => {
  const bench = testTeam();
  const model = texts("a", "b", "c");
  const home = { agents: [writer({ onExhausted: "ask" }, model)] };
  let team = await bench.start(home);
  await team.tasks.create(Write, { n: 3 }, { id: "w", budget: { calls: 2 } });
  await bench.clock.advance(10_000);
  team = await restart(bench, team, home);
  await bench.clock.advance(60_000);
  const waiting = await team.tasks.get("w");
  assert.deepEqual([waiting?.status, waiting?.question?.step], ["in_doubt", "model#3"]);
  assert.equal(model.calls.length, 2);
  await team.budgets.grant("task:w", { calls: 1 });
  team = await restart(bench, team, home);
  await team.resolveStep("w", "model#3", { action: "retry" });
  team = await restart(bench, team, home);
  await bench.clock.advance(60_000);
  const done = await team.tasks.get("w");
  assert.deepEqual([done?.status, done?.result], ["completed", "c"]);
  assert.equal(model.calls.length, 3);
  const [ledger] = await team.budgets.list();
  assert.deepEqual(
    [ledger?.spent.calls, ledger?.reserved.calls, ledger?.doubtful.calls],
    [3, 0, 0],
  );
  await bench.close();
});

test("a task that has stopped for its budget stays so over a restart", async () => {
  const bench = testTeam();
  const model = texts("a", "b", "c");
  const home = { agents: [writer({}, model)] };
  let team = await bench.start(home);
  const task = await team.tasks.create(Write, { n: 3 }, { id: "w", budget: { calls: 2 } });
  await assert.rejects(bench.until(task.result()), /allows 2 calls/);
  team = await restart(bench, team, home);
  await bench.clock.advance(600_000);
  assert.equal((await team.tasks.get("w"))?.status, "failed");
  assert.equal(model.calls.length, 2);
  const [ledger] = await team.budgets.list();
  assert.deepEqual([ledger?.spent.calls, ledger?.reserved.calls], [2, 0]);
  await bench.close();
});

test("an answer of the cheaper model stays the answer when the budget is larger later", async () => {
  const bench = testTeam();
  const [dear, cheap] = [texts("dear"), texts("cheap")];
  const price: ModelOptions["price"] = (_usage, { modelId }) => (modelId === "cheap" ? 0 : 5);
  const degradeTo = { ...cheap, modelId: "cheap" };
  let attempts = 0;
  const agent = defineAgent({ name: "writer" }).does(Write, async (_input, ctx) => {
    const wrapped = ctx.model(dear, { onExhausted: "degrade", degradeTo, price });
    const asked = { prompt: [], maxOutputTokens: 60 } as never;
    const { content } = (await wrapped.doGenerate(asked)) as {
      readonly content: readonly [{ readonly text: string }];
    };
    attempts += 1;
    if (attempts === 1) {
      await team.budgets.grant("task:w", { money: 50 });
      throw new Error("the power is cut");
    }
    return content[0].text;
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Write, { n: 1 }, { id: "w", budget: { money: 1 } });
  assert.equal(await bench.until(task.result()), "cheap");
  assert.deepEqual([attempts, dear.calls.length, cheap.calls.length], [2, 0, 1]);
  await bench.close();
});

test("a feature's larger budget is its task's too, when the task alone needs it", async () => {
  const bench = testTeam();
  const model = texts("a", "b", "c", "d", "e", "f", "g", "h");
  const team = await bench.start({ agents: [writer({}, model)] });
  const feature = await team.features.create({
    title: "one",
    budget: { calls: 3 },
    tasks: [{ name: "one", definition: Write, input: { n: 5 } }],
  });
  await bench.clock.advance(30_000);
  assert.equal((await feature.state()).lacks, "budget");
  await feature.patch({ budget: { calls: 9 }, retry: ["one"] });
  assert.equal((await bench.until(feature.finished())).status, "completed");
  await bench.close();
});
