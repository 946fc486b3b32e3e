/** One call of a model: trouble, limits, cancelling, drift, and what the journal keeps of it. */
import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";
import { CadreError, RetryableError, type, type JsonValue } from "cadre";
import { defineAgent, defineTask, type LanguageModel, type ModelOptions } from "cadre/agents";
import { scriptedModel, testTeam, type ScriptedReply } from "cadre/testing";
import { fromRecord, toRecord } from "#src/agents/models/model-json.ts";
import { usageOf } from "#src/agents/models/model-usage.ts";

const Ask = defineTask({
  name: "ask",
  input: type<{ words: string }>(),
  output: type<string>(),
  maxAttempts: 2,
});

interface Answer {
  readonly content: readonly { readonly text: string }[];
}

const promptOf = (text: string) => [{ role: "user", content: [{ type: "text", text }] }];

async function say(model: LanguageModel, text: string, more: object = {}): Promise<string> {
  // The wrapped model takes what the SDK gives it, of either major.
  const { doGenerate } = model as unknown as { doGenerate(call: object): Promise<Answer> };
  return (await doGenerate({ prompt: promptOf(text), ...more })).content[0]?.text ?? "";
}

function asker(model: LanguageModel, options: ModelOptions = {}, name = "asker") {
  return defineAgent({ name }).does(Ask, ({ words }, ctx) => say(ctx.model(model, options), words));
}

/** As the SDK's providers throw it. */
function httpError(statusCode: number, headers: Readonly<Record<string, string>> = {}): Error {
  const details = { statusCode, responseHeaders: headers, isRetryable: statusCode >= 429 };
  const error = Object.assign(new Error(`status ${statusCode}`), details);
  error.name = "AI_APICallError";
  return error;
}

async function run(script: readonly ScriptedReply[], options: ModelOptions = {}) {
  const bench = testTeam();
  const model = scriptedModel(script, { provider: "acme.chat" });
  const team = await bench.start({ agents: [asker(model, options)] });
  const began = bench.clock.now();
  const task = await team.tasks.create(Ask, { words: "hello" }, { id: "a" });
  const outcome = await bench.until(
    task.result().then(
      (text) => ({ text, error: undefined }),
      (error: unknown) => ({ text: undefined, error: error as CadreError }),
    ),
    3_600_000,
  );
  const tookMs = bench.clock.now() - began;
  const state = await task.state();
  await bench.close();
  return { ...outcome, tookMs, model, state };
}

test("a provider that is limited is asked again when it says so", async () => {
  const limited = httpError(429, { "retry-after": "30" });
  const { text, tookMs, model } = await run([{ error: limited }, { text: "hi" }]);
  assert.equal(text, "hi");
  assert.ok(tookMs >= 30_000 && tookMs < 31_000, `${tookMs} ms`);
  assert.equal(model.calls.length, 2);
});

test("one that is limited is left alone by all processes", async () => {
  const bench = testTeam();
  const error = httpError(429, { "retry-after-ms": "20000" });
  const one = scriptedModel([{ error }, { text: "one" }], { provider: "acme.chat" });
  const other = scriptedModel([{ text: "other" }], { provider: "acme.responses" });
  const team = await bench.start({ agents: [asker(one)] });
  const first = await team.tasks.create(Ask, { words: "a" });
  await bench.clock.advance(1_000);
  assert.equal(one.calls.length, 1);
  const Other = defineTask({ name: "other", output: type<string>() });
  const agent = defineAgent({ name: "second" }).does(Other, (_input, ctx) =>
    say(ctx.model(other), "b"),
  );
  const second = await (await bench.start({ agents: [agent] })).tasks.create(Other, {});
  await bench.clock.advance(15_000);
  assert.equal(other.calls.length, 0, "it waits as well");
  assert.equal(await bench.until(first.result()), "one");
  assert.equal(await bench.until(second.result()), "other");
  await bench.close();
});

test("trouble of the provider is tried again, a few times within an attempt", async () => {
  const replies = [{ error: httpError(503) }, { error: new Error("socket") }, { text: "hi" }];
  const { text, model, state } = await run(replies);
  assert.deepEqual([text, model.calls.length, state.attempt], ["hi", 3, 1]);
});

test("trouble that lasts is another attempt, and then the end", async () => {
  const replies = Array.from({ length: 8 }, () => ({ error: httpError(500) }));
  const { error, model, state } = await run(replies);
  assert.match(error?.message ?? "", /gave no answer. acme.chat script: status 500/);
  assert.deepEqual([model.calls.length, state.attempt], [8, 2]);
});

test("a call that the provider refuses fails its task at once", async () => {
  const { error, model, state } = await run([{ error: httpError(400) }]);
  assert.match(error?.message ?? "", /refused the call. acme.chat script: status 400/);
  assert.deepEqual([model.calls.length, state.attempt], [1, 1]);
});

test("calls keep to the rate limit of their provider, shared by all", async () => {
  const bench = testTeam();
  const model = scriptedModel(
    Array.from({ length: 6 }, () => ({ text: "hi" })),
    { provider: "acme.chat" },
  );
  const limits = { "provider:acme": { perSecond: 2 } };
  const agent = defineAgent({ name: "fast", capacity: 8 }).does(Ask, ({ words }, ctx) =>
    say(ctx.model(model), words),
  );
  const team = await bench.start({ agents: [agent], limits });
  const handles = await Promise.all(
    [1, 2, 3, 4, 5, 6].map((n) => team.tasks.create(Ask, { words: `${n}` })),
  );
  await bench.clock.advance(900);
  assert.equal(model.calls.length, 2);
  for (const handle of handles) await bench.until(handle.result());
  assert.equal(model.calls.length, 6);
  await bench.close();
});

test("who cancels a task stops its call, and nothing is on record of it", async () => {
  const bench = testTeam();
  let stopped: unknown;
  const slow: LanguageModel = {
    ...scriptedModel([]),
    doGenerate: ({ abortSignal }: { readonly abortSignal: AbortSignal }) =>
      new Promise((_resolve, reject) => {
        abortSignal.addEventListener("abort", () => {
          stopped = abortSignal.reason;
          reject(abortSignal.reason as Error);
        });
      }),
  };
  const team = await bench.start({ agents: [asker(slow)] });
  const budget = { calls: 5 };
  const task = await team.tasks.create(Ask, { words: "hello" }, { id: "a", budget });
  await bench.clock.advance(1_000);
  await task.cancel("not needed");
  await bench.clock.advance(20_000);
  assert.equal((await task.state()).status, "cancelled");
  assert.ok(stopped instanceof CadreError && stopped.code === "CANCELLED");
  const types: string[] = [];
  for await (const { event } of bench.store.read({ stream: "task/a" })) types.push(event.type);
  assert.ok(!types.includes("step.receipt") && !types.includes("model.called"), types.join());
  const [ledger] = await team.budgets.list();
  assert.equal(ledger?.doubtful.calls, 1, "it may be paid for");
  await bench.close();
});

test("another prompt at the same place is a drift, and is not paid for", async () => {
  const bench = testTeam();
  const model = scriptedModel([{ text: "one" }, { text: "two" }]);
  let attempt = 0;
  const agent = defineAgent({ name: "moody" }).does(Ask, async (_input, ctx) => {
    attempt += 1;
    await say(ctx.model(model), attempt === 1 ? "this" : "that");
    throw new RetryableError("again");
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Ask, { words: "" });
  await assert.rejects(bench.until(task.result()), /"model#1" was journaled with another input/);
  assert.equal(model.calls.length, 1);
  await bench.close();
});

test("calls side by side keep their places, whichever of them is faster", async () => {
  const bench = testTeam({ strict: true });
  const delays = [400, 100, 300, 200];
  const models = delays.map((delayMs, index) =>
    scriptedModel(
      [
        { text: `${index}`, delayMs },
        { text: `${index}${index}`, delayMs: 500 - delayMs },
      ],
      { clock: bench.clock },
    ),
  );
  const agent = defineAgent({ name: "many" }).does(Ask, async (_input, ctx) => {
    const texts = await Promise.all(
      models.map(async (model, index) => {
        const named = ctx.model(model, index === 0 ? {} : { name: `part-${index}` });
        return (await say(named, `${index}`)) + (await say(named, `${index} again`));
      }),
    );
    return texts.join();
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Ask, { words: "" });
  assert.equal(await bench.until(task.result()), "000,111,222,333");
  for (const model of models) model.assertDone();
  await bench.close();
});

test("an attempt that comes later gets the same answer, whatever it is made of", async () => {
  const bench = testTeam();
  const date = new Date(1_700_000_000_000);
  const answer = {
    content: [
      { type: "file", mediaType: "image/png", data: new Uint8Array([0, 255, 7]) },
      { type: "source", url: new URL("https://example.org/a") },
    ],
    finishReason: { unified: "stop", raw: undefined },
    usage: { inputTokens: { total: 3 }, outputTokens: { total: 4 } },
    warnings: [],
    response: { timestamp: date, headers: new Headers({ "x-id": "7" }), body: { huge: true } },
    request: { body: "the whole prompt" },
  };
  let calls = 0;
  const model: LanguageModel = {
    ...scriptedModel([]),
    doGenerate: async () => {
      calls += 1;
      return answer;
    },
  };
  const seen: (typeof answer)[] = [];
  const agent = defineAgent({ name: "files" }).does(Ask, async (_input, ctx) => {
    const { doGenerate } = ctx.model(model) as unknown as {
      doGenerate(call: object): Promise<typeof answer>;
    };
    seen.push(await doGenerate({ prompt: promptOf("x"), headers: { agent: `${ctx.attempt}` } }));
    if (ctx.attempt === 1) throw new Error("again");
    return "done";
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Ask, { words: "" });
  assert.equal(await bench.until(task.result()), "done");
  assert.equal(calls, 1);
  assert.deepEqual(seen[1], seen[0]);
  assert.deepEqual(seen[1]?.content, answer.content);
  assert.deepEqual(seen[1]?.response.timestamp, date);
  assert.equal(seen[1]?.response.headers.get("x-id"), "7");
  assert.ok(!("body" in (seen[1]?.response ?? {})) && !("request" in (seen[1] ?? {})));
  await bench.close();
});

test("any value of JSON, and bytes, dates, URLs and errors, come back from the journal", () => {
  const special = fc.oneof(
    fc.uint8Array(),
    fc.date({ noInvalidDate: true }),
    fc.webUrl().map((url) => new URL(url)),
    fc.bigInt(),
    fc.constantFrom(Number.NaN, Infinity, -Infinity),
    fc.dictionary(fc.constantFrom("$cadre", "value", "a"), fc.jsonValue()),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      special,
      fc.jsonValue().map((value) => structuredClone(value)),
      fc.array(tie("tree"), { maxLength: 4 }),
      fc.dictionary(fc.string(), tie("tree"), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(tree as fc.Arbitrary<unknown>, (value) => {
      const record = JSON.parse(JSON.stringify(toRecord(value))) as JsonValue;
      const plain = JSON.stringify(value, (_key, part: unknown) =>
        typeof part === "bigint" ? String(part) : part,
      );
      assert.deepEqual(
        JSON.stringify(fromRecord(record), (_key, part: unknown) =>
          typeof part === "bigint" ? String(part) : part,
        ),
        plain,
      );
    }),
    { numRuns: 100, seed: Number(process.env["CADRE_SEED"] ?? 1) },
  );
  const cause = new TypeError("inner");
  const error = Object.assign(new Error("outer", { cause }), { statusCode: 500 });
  const back = fromRecord(toRecord(error)) as typeof error;
  assert.ok(back instanceof Error && back.cause instanceof Error);
  assert.deepEqual([back.message, back.statusCode, back.cause.name], ["outer", 500, "TypeError"]);
  const cycle: { self?: unknown; kept: number } = { kept: 1 };
  cycle.self = cycle;
  assert.deepEqual(toRecord({ cycle, run: () => 1 }), { cycle: { kept: 1 } });
});

test("usage is read in the words of either major", () => {
  const expected = { inputTokens: 7, outputTokens: 5, cachedTokens: 2, reasoningTokens: 1 };
  const nested = {
    inputTokens: { total: 7, cacheRead: 2 },
    outputTokens: { total: 5, reasoning: 1 },
  };
  const flat = { inputTokens: 7, outputTokens: 5, cachedInputTokens: 2, reasoningTokens: 1 };
  assert.deepEqual(usageOf(nested), expected);
  assert.deepEqual(usageOf(flat), expected);
  assert.equal(usageOf({ inputTokens: { total: undefined } }), undefined);
  assert.equal(usageOf(undefined), undefined);
});

test("what a tool throws is its answer, and is thrown again in a later attempt", async () => {
  const bench = testTeam();
  let runs = 0;
  const agent = defineAgent({ name: "tools" }).does(Ask, async (_input, ctx) => {
    const look = ctx.tool("look", ({ at }: { readonly at: number }) => {
      runs += 1;
      if (at === 2) throw new RangeError("nothing there");
      return { found: new Date(at) };
    });
    const found = await look({ at: 1 });
    const error = await look({ at: 2 }).catch((thrown: unknown) => thrown as Error);
    if (ctx.attempt === 1) throw new Error("again");
    return `${found.found.getTime()} ${(error as Error).name}: ${(error as Error).message}`;
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Ask, { words: "" }, { id: "t" });
  assert.equal(await bench.until(task.result()), "1 RangeError: nothing there");
  assert.equal(runs, 2);
  const told: unknown[] = [];
  for await (const { event } of bench.store.read({ type: "tool.invoked" })) {
    const { tool, step, error } = event.payload as Readonly<Record<string, unknown>>;
    told.push([tool, step, (error as { readonly message: string } | undefined)?.message]);
  }
  assert.deepEqual(told, [
    ["look", "look#1", undefined],
    ["look", "look#2", "nothing there"],
  ]);
  await bench.close();
});

test("a tool's effect is taken back when its task fails", async () => {
  const bench = testTeam();
  const standing = new Map<string, string>();
  const agent = defineAgent({ name: "tools" }).does(Ask, async (_input, ctx) => {
    const reserve = ctx.tool(
      "reserve",
      (seat: string, { stepKey }) => {
        standing.set(stepKey, seat);
        return { seat };
      },
      {
        undo: ({ key, input, result }) => {
          assert.equal(result?.seat, input);
          standing.delete(key);
        },
      },
    );
    await reserve("12A");
    assert.equal(standing.size, 1);
    throw new CadreError("TERMINAL", "no plane", {});
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Ask, { words: "" });
  await assert.rejects(bench.until(task.result()), /no plane/);
  assert.equal(standing.size, 0);
  await bench.close();
});
