/** Models at their edges: wrong objects, prices that fail, answers without usage, wild headers. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { CadreError, type, type EventStore } from "cadre";
import { defineAgent, defineTask, type LanguageModel, type ModelOptions } from "cadre/agents";
import { scriptedModel, SeededRandom, testTeam, VirtualClock, type TestTeam } from "cadre/testing";
import { failureOf } from "#src/agents/models/provider-errors.ts";
import { ProviderGate } from "#src/agents/models/provider-gate.ts";

const Ask = defineTask({ name: "ask", output: type<string>(), maxAttempts: 3 });

const prompt = [{ role: "user", content: [{ type: "text", text: "Say something." }] }];
const usage = { inputTokens: 30, outputTokens: 20 };

interface Answer {
  readonly content: readonly { readonly text: string }[];
}

interface Call {
  readonly maxOutputTokens?: number;
  readonly abortSignal?: AbortSignal;
}

/** An agent that calls its model once. */
function asker(model: LanguageModel, options: ModelOptions = {}, call: Call = {}) {
  return defineAgent({ name: "asker" }).does(Ask, async (_input, ctx) => {
    const wrapped = ctx.model(model, { estimate: () => 40, ...options });
    const asked = { prompt, maxOutputTokens: 60, ...call };
    const answer = (await wrapped.doGenerate(asked as never)) as Answer;
    return answer.content[0]?.text ?? "";
  });
}

async function told(store: EventStore, wanted: string) {
  const payloads: Readonly<Record<string, unknown>>[] = [];
  for await (const { event } of store.read({ type: wanted })) payloads.push(event.payload as never);
  return payloads;
}

const budget = { tokens: 1_000, calls: 9 };

async function run(
  bench: TestTeam,
  model: LanguageModel,
  options?: ModelOptions,
  call?: Call,
): Promise<unknown> {
  const team = await bench.start({ agents: [asker(model, options, call)] });
  const task = await team.tasks.create(Ask, {}, { id: "t", budget });
  return bench.until(task.result(), 600_000).catch((error: unknown) => error);
}

test("what is no model is refused by name, before anything is tried", async () => {
  const real = scriptedModel([{ text: "a" }]);
  const wrong: readonly (readonly [string, unknown, RegExp])[] = [
    ["nothing", undefined, /ctx\.model was given undefined/],
    ["an id", "openai/gpt-5", /ctx\.model was given "openai\/gpt-5".*provider's package/],
    ["a provider", () => real, /ctx\.model was given/],
    ["no doStream", { ...real, doStream: undefined }, /has no doStream/],
    ["an old one", { ...real, specificationVersion: "v1" }, /specification "v1"/],
    ["no provider", { ...real, provider: 7 }, /has no provider/],
  ];
  for (const [what, model, why] of wrong) {
    for (const options of [undefined, { degradeTo: model }] as const) {
      const bench = testTeam();
      const given = options ? real : model;
      const failure = await run(bench, given as LanguageModel, options as ModelOptions);
      const expected = options && model === undefined ? undefined : failure;
      if (expected === undefined) assert.equal(failure, "a", what);
      else assert.match(String(failure), options ? /degradeTo/ : why, what);
      const [ledger] = (await bench.store.slots("budget/")) as readonly unknown[];
      if (expected !== undefined) assert.equal(ledger, undefined, `${what} was charged`);
      await bench.close();
    }
    const bench = testTeam();
    const models = { degradeTo: model } as ModelOptions;
    if (model !== undefined) await assert.rejects(bench.start({ models }), /degradeTo/, what);
    await bench.close();
  }
});

for (const [what, price] of [
  ["throws", () => assert.fail("no such model in the list of prices")],
  ["gives NaN", () => Number.NaN],
  ["gives less than nothing", () => -1],
] as const) {
  test(`an answer is not lost when its price ${what}, nor paid for again`, async () => {
    const bench = testTeam();
    const model = scriptedModel([
      { text: "said", usage },
      { text: "again", usage },
    ]);
    let asked = 0;
    // The worst has a price; what it came to has none.
    const failing = (): number => ((asked += 1) === 1 ? 1 : price());
    assert.equal(await run(bench, model, { price: failing }), "said");
    assert.equal(model.calls.length, 1);
    const [called] = await told(bench.store, "model.called");
    assert.equal(called?.["cost"], undefined);
    const [slot] = await bench.store.slots("budget/");
    const { spent } = JSON.parse(slot?.value ?? "{}") as { readonly spent: object };
    assert.deepEqual(spent, { tokens: 50, calls: 1, money: 1 }, "its worst is charged");
    await bench.close();
  });
}

test("an estimate that is no amount is refused, and takes nothing from the budget", async () => {
  for (const amount of [Number.NaN, -5_000, Infinity]) {
    const bench = testTeam();
    const model = scriptedModel([{ text: "said" }]);
    assert.match(String(await run(bench, model, { estimate: () => amount })), /estimate/);
    assert.equal(model.calls.length, 0);
    assert.deepEqual(await bench.store.slots("budget/"), []);
    await bench.close();
  }
  const bench = testTeam();
  const model = scriptedModel([{ text: "said" }]);
  const failure = await run(bench, model, {}, { maxOutputTokens: -500 });
  assert.match(String(failure), /maxOutputTokens/);
  assert.deepEqual(await bench.store.slots("budget/"), []);
  await bench.close();
});

test("what the provider does not tell of an answer is charged at its worst", async () => {
  for (const [reported, tokens] of [
    [{ inputTokens: 30, outputTokens: undefined }, 90],
    [{ inputTokens: undefined, outputTokens: 20 }, 60],
    [{ inputTokens: { total: Number.NaN }, outputTokens: { total: -7 } }, 100],
    [undefined, 100],
  ] as const) {
    const bench = testTeam();
    const model: LanguageModel = {
      ...scriptedModel([]),
      doGenerate: async () => ({
        content: [{ type: "text", text: "said" }],
        finishReason: "stop",
        usage: reported,
      }),
    };
    assert.equal(await run(bench, model), "said");
    const [slot] = await bench.store.slots("budget/");
    const { spent } = JSON.parse(slot?.value ?? "{}") as { readonly spent: object };
    assert.deepEqual(spent, { tokens, calls: 1, money: 0 }, JSON.stringify(reported));
    await bench.close();
  }
});

test("a provider that can't be reached at all has cost nothing", async () => {
  const bench = testTeam();
  const cause = Object.assign(new AggregateError([], "connect"), { code: "ECONNREFUSED" });
  const error = Object.assign(new Error("Cannot connect to API", { cause }), {
    name: "AI_APICallError",
    isRetryable: true,
  });
  const model = scriptedModel([{ error }, { error }, { error }, { text: "said", usage }]);
  assert.equal(await run(bench, model), "said");
  const [slot] = await bench.store.slots("budget/");
  const { spent, doubtful } = JSON.parse(slot?.value ?? "{}") as Record<string, object>;
  assert.deepEqual(spent, { tokens: 50, calls: 1, money: 0 });
  assert.deepEqual(doubtful, { tokens: 0, calls: 0, money: 0 });
  // One that was cut off in the middle may want money.
  const reset = Object.assign(new Error("socket"), { cause: { code: "ECONNRESET" } });
  assert.equal(failureOf(reset, new AbortController().signal, 0).mayBePaid, true);
  await bench.close();
});

test("retry-after is read from headers of any form, and believed for ten minutes at most", () => {
  const { signal } = new AbortController();
  const of = (statusCode: number, responseHeaders: unknown) =>
    failureOf(Object.assign(new Error("x"), { statusCode, responseHeaders }), signal, 0);
  assert.equal(of(429, { ":status": "429", "Retry-After": "2" }).retryAfterMs, 2_000);
  assert.equal(of(429, new Headers({ "retry-after-ms": "70" })).retryAfterMs, 70);
  assert.equal(of(503, { "retry-after": "86400" }).retryAfterMs, 600_000);
  assert.equal(of(503, { "retry-after": "Fri, 31 Dec 1999 23:59:59 GMT" }).retryAfterMs, 600_000);
  assert.equal(of(503, { "retry-after": "soon", "retry-after-ms": "-1" }).retryAfterMs, undefined);
  assert.equal(of(429, "none").kind, "limited");
});

test("a pause by a process whose clock is far ahead holds nobody up", async () => {
  const bench = testTeam();
  const team = await bench.start();
  const clock = new VirtualClock(bench.clock.now() + 86_400_000);
  const limits = { take: async () => undefined };
  const context = { store: team.store, random: new SeededRandom(1), limits };
  const gateOf = (its: VirtualClock) => new ProviderGate({ ...context, clock: its } as never);
  await gateOf(clock).pause("provider:x", 1_000);
  const gate = gateOf(bench.clock);
  const { signal } = new AbortController();
  const before = bench.clock.now();
  await bench.until(gate.pass("provider:x", signal));
  assert.ok(bench.clock.now() - before <= 600_000 + 1_000);
  // And a pause by the right clock is kept again.
  await gate.pause("provider:x", 5_000);
  const from = bench.clock.now();
  await bench.until(gate.pass("provider:x", signal));
  assert.ok(bench.clock.now() - from >= 5_000);
  await bench.close();
});

test("a call that is stopped before it goes out has cost nothing", async () => {
  const bench = testTeam();
  const model = scriptedModel([{ text: "never" }]);
  const stop = new AbortController();
  const estimate = (): number => {
    stop.abort(new CadreError("TIMEOUT", "too slow", { what: "x", timeoutMs: 1 }));
    return 40;
  };
  const task = { estimate, retry: { maxAttempts: 1 } };
  assert.match(String(await run(bench, model, task, { abortSignal: stop.signal })), /too slow/);
  assert.equal(model.calls.length, 0);
  const [slot] = await bench.store.slots("budget/");
  const { spent, doubtful, open } = JSON.parse(slot?.value ?? "{}") as Record<string, object>;
  assert.deepEqual([spent, doubtful, open], [none, none, {}]);
  await bench.close();
});

const none = { tokens: 0, calls: 0, money: 0 };

test("a call that its handler does not wait for ends without an alarm", async (context) => {
  const bench = testTeam();
  const alarms: unknown[] = [];
  const alarm = (error: unknown): void => void alarms.push(error);
  process.on("unhandledRejection", alarm);
  context.after(() => process.off("unhandledRejection", alarm));
  const model = scriptedModel([{ text: "late", delayMs: 5_000 }], { clock: bench.clock });
  const agent = defineAgent({ name: "hasty" }).does(Ask, (_input, ctx) => {
    void ctx.model(model).doGenerate({ prompt: [] });
    const tool = ctx.tool("slow", () => ctx.clock.sleep(5_000, ctx.signal));
    void tool({});
    return "done";
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Ask, {});
  assert.equal(await bench.until(task.result()), "done");
  await bench.clock.advance(60_000);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(alarms, []);
  await bench.close();
});

test("a call that somebody on the way gave up waiting for may have been paid", () => {
  const { signal } = new AbortController();
  const of = (statusCode: number) =>
    failureOf(Object.assign(new Error("x"), { statusCode }), signal, 0);
  for (const status of [408, 504, 524]) {
    assert.deepEqual(of(status), { kind: "passing", mayBePaid: true }, String(status));
  }
  for (const status of [409, 425, 500, 502, 503, 529]) {
    assert.deepEqual(of(status), { kind: "passing", mayBePaid: false }, String(status));
  }
  for (const status of [400, 401, 402, 413, 422]) {
    assert.deepEqual(of(status), { kind: "refused", mayBePaid: false }, String(status));
  }
});
