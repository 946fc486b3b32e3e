/** Models in handlers of all kinds, and what the SDK must not swallow. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { RetryableError, type, type EventStore } from "cadre";
import { defineAgent, defineTask, type ModelOptions } from "cadre/agents";
import { scriptedModel, testTeam, type ScriptedReply } from "cadre/testing";
import { changed } from "../changed.ts";
import { sdks } from "./models-sdk.ts";

const Do = defineTask({ name: "do", output: type<string>(), maxAttempts: 3 });

for (const { ai, name, specificationVersion } of sdks) {
  const { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } = ai;
  type Model = Parameters<typeof generateText>[0]["model"];
  const any = jsonSchema<Record<string, unknown>>({ type: "object" });
  const useTool: readonly ScriptedReply[] = [
    { toolCalls: [{ tool: "pay", input: {}, id: "p1" }] },
    { text: "paid" },
  ];

  test(`objects and streams of a wrapped model come from the journal (${name})`, async () => {
    const bench = testTeam({ strict: true });
    const model = scriptedModel([{ text: '{"a":1}' }, { chunks: ["on", "ce"] }], {
      specificationVersion,
    });
    const agent = defineAgent({ name: "maker" }).does(Do, async (_input, ctx) => {
      const wrapped = ctx.model(model) as Model;
      const { object } = await generateObject({ model: wrapped, schema: any, prompt: "Make." });
      let text = "";
      const { textStream } = streamText({ model: wrapped, prompt: JSON.stringify(object) });
      for await (const piece of textStream) text += piece;
      return `${JSON.stringify(object)} ${text}`;
    });
    const team = await bench.start({ agents: [agent] });
    const task = await team.tasks.create(Do, {});
    assert.equal(await bench.until(task.result()), '{"a":1} once');
    model.assertDone();
    await bench.close();
  });

  test(`a tool in doubt parks its task, and the model is not told of it (${name})`, async () => {
    const bench = testTeam();
    let isDead = false;
    const commit: EventStore["commit"] = (work) =>
      isDead ? new Promise(() => {}) : bench.store.commit(work);
    const mortal = changed(bench.store, { commit });
    const model = scriptedModel(useTool, { specificationVersion });
    let payments = 0;
    const agent = defineAgent({ name: "payer" }).does(Do, async (_input, ctx) => {
      const pay = ctx.tool(
        "pay",
        () => {
          payments += 1;
          isDead = payments === 1;
          return "receipt";
        },
        { undo: () => undefined },
      );
      const { text } = await generateText({
        model: ctx.model(model) as Model,
        prompt: "Pay.",
        stopWhen: stepCountIs(3),
        tools: { pay: tool({ inputSchema: any, execute: pay }) },
      });
      return text;
    });
    const client = await bench.start({ name: "client" });
    await bench.start({ name: "mortal", agents: [agent], store: mortal });
    const task = await client.tasks.create(Do, {}, { id: "d" });
    await bench.clock.advance(1_000);
    assert.ok(isDead);
    await bench.start({ name: "next", agents: [agent] });
    await bench.clock.advance(60_000);
    const { status, question } = await task.state();
    assert.deepEqual([status, question?.step], ["in_doubt", "pay#p1"]);
    assert.deepEqual([payments, model.calls.length], [1, 1]);
    await client.resolveStep("d", "pay#p1", { action: "done", result: "receipt" });
    assert.equal(await bench.until(task.result()), "paid");
    assert.equal(payments, 1);
    assert.match(model.calls[1]?.last ?? "", /pay gave "?receipt/);
    await bench.close();
  });

  test(`a tool that wants another attempt gets one, and the model is not asked (${name})`, async () => {
    const bench = testTeam();
    const model = scriptedModel(useTool, { specificationVersion });
    let tries = 0;
    const agent = defineAgent({ name: "payer" }).does(Do, async (_input, ctx) => {
      const pay = (): string => {
        tries += 1;
        if (tries === 1) throw new RetryableError("the till is shut");
        return "receipt";
      };
      const { text } = await generateText({
        model: ctx.model(model) as Model,
        prompt: "Pay.",
        stopWhen: stepCountIs(3),
        tools: ctx.tools({ pay: tool({ inputSchema: any, execute: pay }) }),
      });
      return text;
    });
    const team = await bench.start({ agents: [agent] });
    const task = await team.tasks.create(Do, {});
    assert.equal(await bench.until(task.result()), "paid");
    assert.deepEqual([tries, model.calls.length], [2, 2]);
    assert.equal((await task.state()).attempt, 2);
    await bench.close();
  });
}

test("a handler may ask another model where one refuses", async () => {
  const bench = testTeam();
  const bad = scriptedModel([{ error: Object.assign(new Error("no"), { statusCode: 403 }) }]);
  const good = scriptedModel([{ text: "fine" }]);
  const agent = defineAgent({ name: "maker" }).does(Do, async (_input, ctx) => {
    const [first, second] = [ctx.model(bad), ctx.model(good)];
    const call = { prompt: [] };
    const answer = await first.doGenerate(call).then(undefined, () => second.doGenerate(call));
    if (ctx.attempt === 1) throw new Error("again");
    return (answer as { content: [{ text: string }] }).content[0].text;
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Do, {});
  assert.equal(await bench.until(task.result()), "fine");
  assert.deepEqual([bad.calls.length, good.calls.length], [1, 1]);
  await bench.close();
});

test("a handler of an event is journaled too, and its tenant's budget bounds it", async () => {
  const bench = testTeam();
  const model = scriptedModel([{ text: "a" }, { text: "b" }]);
  const heard: string[] = [];
  let attempts = 0;
  const options: ModelOptions = { onExhausted: "ask" };
  const agent = defineAgent({ name: "ear" }).on(
    "custom.said",
    { retry: { minDelayMs: 10 } },
    async (_event, ctx) => {
      attempts += 1;
      const answer = await ctx.model(model, options).doGenerate({ prompt: [] });
      if (attempts === 1) throw new Error("again");
      heard.push((answer as { content: [{ text: string }] }).content[0].text);
    },
  );
  const budgets = { tenant: { "*": { calls: 1 } } };
  const team = await bench.start({ agents: [agent], budgets });
  await team.bus.publish("custom.said", {}, { tenant: "acme" });
  await bench.clock.advance(5_000);
  assert.deepEqual([heard, attempts, model.calls.length], [["a"], 2, 1]);
  await team.bus.publish("custom.said", {}, { tenant: "acme" });
  await bench.clock.advance(600_000);
  assert.equal(model.calls.length, 1);
  const letters = [];
  for await (const letter of team.bus.deadLetters.list()) letters.push(letter.error.message);
  assert.match(letters.join(), /budget of tenant:acme allows 1 calls/);
  await bench.close();
});

test("an undo is done whatever is left of the budget", async () => {
  const bench = testTeam();
  const model = scriptedModel([{ text: "a" }]);
  let standing = 0;
  const agent = defineAgent({ name: "maker" }).does(Do, async (_input, ctx) => {
    await ctx.step("effect", () => void (standing += 1), { undo: () => void (standing -= 1) });
    const wrapped = ctx.model(model);
    await wrapped.doGenerate({ prompt: [] });
    await wrapped.doGenerate({ prompt: [] });
    return "never";
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Do, {}, { budget: { calls: 1 } });
  await assert.rejects(bench.until(task.result()), /allows 1 calls/);
  assert.equal(standing, 0);
  await bench.close();
});
