/** Budgets of models: reserved before the call, shared by all that is part of a whole. */
import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";
import { memoryStore, type EventStore } from "cadre";
import { defineAgent, defineTask, type Budget, type ModelOptions } from "cadre/agents";
import { type } from "cadre";
import { SeededRandom, testTeam, VirtualClock, scriptedModel } from "cadre/testing";
import { BudgetLedger, isReservation } from "#src/agents/models/budget-ledger.ts";

const Write = defineTask({ name: "write", input: type<{ n: number }>(), output: type<string>() });
const Lead = defineTask({ name: "lead", input: type<{ n: number }>(), output: type<string>() });

const prompt = [{ role: "user", content: [{ type: "text", text: "Say something." }] }];
const usage = { inputTokens: 30, outputTokens: 20 };
const plenty = Array.from({ length: 50 }, () => ({ text: "said", usage }));

interface Answer {
  readonly content: readonly { readonly text: string }[];
}

/** An agent that calls its model as often as it is asked to. */
function writer(options: ModelOptions = {}, model = scriptedModel(plenty)) {
  const agent = defineAgent({ name: "writer", capacity: 8 }).does(Write, async ({ n }, ctx) => {
    const wrapped = ctx.model(model, { estimate: () => 40, ...options });
    let said = "";
    for (let call = 0; call < n; call += 1) {
      const answer = (await wrapped.doGenerate({ prompt, maxOutputTokens: 60 })) as Answer;
      said = answer.content[0]?.text ?? "";
    }
    return said;
  });
  return { agent, model };
}

async function told(store: EventStore, wanted: string) {
  const payloads: Readonly<Record<string, unknown>>[] = [];
  for await (const { event } of store.read({ type: wanted })) payloads.push(event.payload as never);
  return payloads;
}

test("a task stops before the call that its budget does not allow", async () => {
  const bench = testTeam();
  const { agent, model } = writer();
  const team = await bench.start({ agents: [agent] });
  const heard: unknown[] = [];
  await team.bus.subscribe("budget.exhausted", ({ payload }) => void heard.push(payload));
  const task = await team.tasks.create(Write, { n: 9 }, { id: "w", budget: { tokens: 230 } });
  await assert.rejects(bench.until(task.result()), /budget of task:w allows 230 tokens/);
  // 50 + 50 + 50, and then the worst of a call, 100, goes beyond 230.
  assert.equal(model.calls.length, 3);
  assert.equal((await task.state()).error?.code, "BUDGET_EXHAUSTED");
  assert.equal((await task.state()).attempt, 1);
  const [ledger] = await team.budgets.list();
  assert.deepEqual(ledger?.spent, { tokens: 150, calls: 3, money: 0 });
  assert.deepEqual(ledger.reserved, { tokens: 0, calls: 0, money: 0 });
  await bench.clock.settle();
  assert.equal(heard.length, 1);
  const { scope, unit, wanted, policy, taskId } = heard[0] as Readonly<Record<string, unknown>>;
  assert.deepEqual([scope, unit, wanted, policy, taskId], ["task:w", "tokens", 100, "stop", "w"]);
  await bench.close();
});

test("money is what the price function says, and a budget of it needs one", async () => {
  const bench = testTeam();
  const price = ({ inputTokens, outputTokens }: typeof usage): number =>
    (inputTokens + 4 * outputTokens) / 1_000;
  const { agent, model } = writer();
  const team = await bench.start({ agents: [agent], models: { price } });
  const task = await team.tasks.create(Write, { n: 9 }, { budget: { money: 0.5 } });
  await assert.rejects(bench.until(task.result()), /allows 0.5 money/);
  // Each is 0.11 and at worst 0.28.
  assert.equal(model.calls.length, 3);
  const costs = (await told(bench.store, "model.called")).map(({ cost }) => cost);
  assert.deepEqual(costs, [0.11, 0.11, 0.11]);
  const bare = testTeam();
  const free = await bare.start({ agents: [writer().agent] });
  const refused = await free.tasks.create(Write, { n: 1 }, { budget: { money: 1 } });
  await assert.rejects(bare.until(refused.result()), /nobody says what it costs/);
  await bench.close();
  await bare.close();
});

test("children spend what is their parent's, and a tenant's tasks what is the tenant's", async () => {
  const bench = testTeam();
  const { agent, model } = writer();
  const lead = defineAgent({ name: "lead" }).does(Lead, async ({ n }, ctx) => {
    await ctx.call("one", Write, { n });
    return ctx.call("two", Write, { n });
  });
  const budgets = { tenant: { acme: { calls: 5 } } };
  const team = await bench.start({ agents: [agent, lead], budgets });
  const options = { id: "l", tenant: "acme", budget: { calls: 3 } };
  const task = await team.tasks.create(Lead, { n: 2 }, options);
  await assert.rejects(bench.until(task.result()), /budget of task:l allows 3 calls/);
  assert.equal(model.calls.length, 3);
  const other = await team.tasks.create(Write, { n: 9 }, { tenant: "acme" });
  await assert.rejects(bench.until(other.result()), /budget of tenant:acme allows 5 calls/);
  assert.equal(model.calls.length, 5);
  const spent = (await team.budgets.list()).map(({ scope, spent: { calls } }) => [scope, calls]);
  assert.deepEqual(spent, [
    ["task:l", 3],
    ["tenant:acme", 5],
  ]);
  await bench.close();
});

test("a feature says in words that its budget is used up, and goes on with a larger one", async () => {
  const bench = testTeam();
  const { agent } = writer();
  const team = await bench.start({ agents: [agent] });
  const feature = await team.features.create({
    title: "two",
    budget: { calls: 3 },
    tasks: [
      { name: "one", definition: Write, input: { n: 2 } },
      { name: "two", definition: Write, input: { n: 2 }, dependsOn: ["one"] },
    ],
  });
  await bench.clock.advance(30_000);
  const blocked = await feature.state();
  assert.equal(blocked.status, "blocked");
  assert.equal(blocked.lacks, "budget");
  assert.match(blocked.reason ?? "", /allows 3 calls.*Raise the budget and retry it/s);
  await feature.patch({ budget: { calls: 6 }, retry: ["two"] });
  assert.equal((await bench.until(feature.finished())).status, "completed");
  await bench.close();
});

test("a cheaper model is asked when the budget allows no other", async () => {
  const bench = testTeam();
  const cheap = scriptedModel([{ text: "cheaply said" }], { modelId: "cheap" });
  const price = (_usage: object, { modelId }: { readonly modelId: string }): number =>
    modelId === "cheap" ? 0 : 1;
  const { agent, model } = writer({ onExhausted: "degrade", degradeTo: cheap, price });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Write, { n: 3 }, { budget: { money: 2 } });
  assert.equal(await bench.until(task.result()), "cheaply said");
  assert.equal(model.calls.length, 2);
  const calls = await told(bench.store, "model.called");
  assert.deepEqual(
    calls.map(({ modelId, degraded, cost }) => [modelId, degraded, cost]),
    [
      ["script", undefined, 1],
      ["script", undefined, 1],
      ["cheap", true, 0],
    ],
  );
  await bench.close();
});

test("a task waits for a person to grant it more, and goes on without paying again", async () => {
  const bench = testTeam();
  const { agent, model } = writer({ onExhausted: "ask" });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Write, { n: 3 }, { id: "w", budget: { calls: 2 } });
  await bench.clock.advance(10_000);
  const asked = await task.state();
  assert.deepEqual([asked.status, asked.question?.step], ["in_doubt", "model#3"]);
  await team.resolveStep("w", "model#3", { action: "retry" });
  await bench.clock.advance(10_000);
  assert.equal((await task.state()).status, "in_doubt", "nothing was granted yet");
  const granted = await team.budgets.grant("task:w", { calls: 1 });
  assert.deepEqual(granted.budget, { calls: 3 });
  await team.resolveStep("w", "model#3", { action: "retry" });
  assert.equal(await bench.until(task.result()), "said");
  assert.equal(model.calls.length, 3);
  await bench.close();
});

test("a person may answer in the model's place, or let the task fail", async () => {
  const bench = testTeam();
  const { agent } = writer({ onExhausted: "ask" });
  const team = await bench.start({ agents: [agent] });
  const budget = { calls: 0 };
  const done = await team.tasks.create(Write, { n: 1 }, { id: "done", budget });
  const fail = await team.tasks.create(Write, { n: 1 }, { id: "fail", budget });
  await bench.clock.advance(10_000);
  await team.resolveStep("done", "model#1", { action: "done", result: "by hand" });
  await team.resolveStep("fail", "model#1", { action: "fail", reason: "too dear" });
  assert.equal(await bench.until(done.result()), "by hand");
  await assert.rejects(bench.until(fail.result()), /too dear/);
  await bench.close();
});

test("a wrong budget, or a grant to nothing, is refused", async () => {
  const bench = testTeam();
  const wrong = { tenant: { acme: { token: 1 } } } as unknown as { tenant: {} };
  await assert.rejects(bench.start({ budgets: wrong }), /Did you mean "tokens"/);
  const options = { onExhaust: "stop" } as ModelOptions;
  await assert.rejects(bench.start({ models: options }), /Did you mean "onExhausted"/);
  const team = await bench.start();
  await assert.rejects(team.budgets.grant("acme", { calls: 1 }), /task:ID, feature:ID or tenant/);
  await assert.rejects(team.budgets.grant("tenant:a", { calls: -1 }), /number from 0/);
  await bench.close();
});

/** Callers of one budget that die anywhere, on a store that loses answers. */
async function spendWith(seed: number, budget: Budget): Promise<void> {
  const random = new SeededRandom(seed);
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const scopes = [
    { id: "task:t", budget },
    { id: "tenant:a", budget: { calls: 9, money: 7 } },
  ];
  const truly = { tokens: 0, calls: 0, money: 0 };
  const caller = async (name: number): Promise<void> => {
    const chance = random.fork(`caller-${name}`);
    const dies = (): boolean => chance.next() < 0.1;
    const commit: EventStore["commit"] = async (work) => {
      if (dies()) throw new Error("dead before");
      await clock.sleep(chance.integer(5));
      const result = await store.commit(work);
      if (dies()) throw new Error("dead after");
      return result;
    };
    const mortal = { commit, slot: store.slot.bind(store), slots: store.slots.bind(store) };
    const ledger = new BudgetLedger({ store: mortal, clock, random: chance });
    for (let call = 0; call < 6; call += 1) {
      const worst = { tokens: 10, calls: 1, money: 1 };
      const step = `t/model#${call}`;
      const reserved = await ledger.reserve(scopes, step, worst).catch(() => undefined);
      if (!reserved || !isReservation(reserved)) continue;
      await clock.sleep(chance.integer(20));
      const actual = { tokens: 1 + chance.integer(10), calls: 1, money: chance.next() };
      truly.tokens += actual.tokens;
      truly.calls += 1;
      truly.money += actual.money;
      // The process may die here: its reservation stays.
      if (dies()) continue;
      const known = chance.next() < 0.8 ? actual : undefined;
      await ledger.settle(reserved, known).catch(() => undefined);
      // An answer that was lost is asked for again; it counts once.
      await ledger.settle(reserved, known).catch(() => undefined);
    }
  };
  const all = Promise.all([1, 2, 3, 4].map(caller));
  let isOver = false;
  void all.finally(() => (isOver = true));
  await clock.settle();
  while (!isOver && (await clock.advanceToNext()));
  await all;
  for (const { id, budget: most } of scopes) {
    for (const unit of ["tokens", "calls", "money"] as const) {
      const bound = most[unit as keyof typeof most] ?? Infinity;
      assert.ok(truly[unit] <= bound, `${id}: ${truly[unit]} ${unit} of ${bound}`);
    }
  }
  const ledger = new BudgetLedger({ store, clock, random });
  for (const { spent, reserved, doubtful } of await ledger.list()) {
    const charged = spent.tokens + reserved.tokens + doubtful.tokens;
    assert.ok(charged >= truly.tokens, `${charged} are charged, ${truly.tokens} were spent`);
  }
}

test("never more is spent than the budget, whoever dies and whenever", async () => {
  const seed = Number(process.env["CADRE_SEED"] ?? 1);
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.integer({ min: 0, max: 120 }), async (chance, tokens) => {
      await spendWith(chance, { tokens });
    }),
    { numRuns: 200, seed },
  );
});
