/** Scripted models, and models whose answers are recorded. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { recordedModel, scriptedModel } from "cadre/testing";
import { sdks } from "../agents/models-sdk.ts";

for (const { ai, name, specificationVersion } of sdks) {
  const { generateText, jsonSchema, Output, stepCountIs, streamText, tool } = ai;
  type Model = Parameters<typeof generateText>[0]["model"];

  test(`a script is followed through a tool loop (${name})`, async () => {
    const model = scriptedModel(
      [
        { expect: /sum of/, toolCalls: [{ tool: "add", input: { a: 1, b: 2 } }] },
        { expect: ({ last }) => last === "add gave 3", text: "It is 3." },
      ],
      { specificationVersion },
    );
    const inputSchema = jsonSchema<{ a: number; b: number }>({ type: "object" });
    const { text, totalUsage } = await generateText({
      model: model as Model,
      prompt: "What is the sum of 1 and 2?",
      stopWhen: stepCountIs(3),
      tools: { add: tool({ inputSchema, execute: ({ a, b }) => a + b }) },
    });
    assert.equal(text, "It is 3.");
    assert.equal(totalUsage.inputTokens, 20);
    model.assertDone();
  });

  test(`a script streams, and gives objects (${name})`, async () => {
    const model = scriptedModel([{ text: "one two three" }, { text: '{"a":1}' }], {
      specificationVersion,
    });
    const pieces: string[] = [];
    const { textStream } = streamText({ model: model as Model, prompt: "Count." });
    for await (const piece of textStream) pieces.push(piece);
    assert.deepEqual(pieces, ["one ", "two ", "three"]);
    const schema = jsonSchema<{ a: number }>({ type: "object" });
    const output = Output.object({ schema });
    const made = await generateText({ model: model as Model, prompt: "An object.", output });
    assert.deepEqual(made.output, { a: 1 });
    model.assertDone();
  });

  test(`another call than the script's fails, and shows how they differ (${name})`, async () => {
    const model = scriptedModel([{ expect: "in Oslo", text: "cold" }], { specificationVersion });
    const asked = generateText({ model: model as Model, prompt: "The weather in Bergen?" });
    const difference =
      /Call 1 of the model is not the script's[^]*expected: in Oslo[^]*actual: {3}The weather in B/;
    await assert.rejects(asked, difference);
    assert.throws(() => model.assertDone(), difference);
  });

  test(`a call too many fails, and an answer that is left over (${name})`, async () => {
    const model = scriptedModel([{ text: "a" }], { specificationVersion });
    assert.throws(() => model.assertDone(), /1 of 1 answers .* not asked for.*any call/);
    await generateText({ model: model as Model, prompt: "once" });
    model.assertDone();
    const again = generateText({ model: model as Model, prompt: "twice" });
    await assert.rejects(again, /has 1 answers, and the model was called a time more[^]*twice/);
  });

  test(`what was recorded is given again, and only to the same calls (${name})`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "cadre-recording-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "answers.json");
    const real = scriptedModel([{ text: "first" }, { chunks: ["sec", "ond"] }], {
      specificationVersion,
    });
    const runWith = async (model: Model, second: string): Promise<string> => {
      const { text } = await generateText({ model, prompt: "one" });
      return `${text} ${await streamText({ model, prompt: second, onError: () => {} }).text}`;
    };
    assert.equal(await runWith(recordedModel(real, file) as Model, "two"), "first second");
    assert.equal(JSON.parse(readFileSync(file, "utf8")).length, 2);
    assert.equal(await runWith(recordedModel(real, file) as Model, "two"), "first second");
    assert.equal(real.calls.length, 2, "the model was not called again");
    const replayed = recordedModel(real, file, { mode: "replay" }) as Model;
    const other = generateText({ model: replayed, prompt: "uno" });
    await assert.rejects(other, /Call 1 is not the recorded one[^]*one[^]*uno[^]*mode: "record"/);
    const missing = join(folder, "none.json");
    assert.throws(() => recordedModel(real, missing, { mode: "replay" }), /no recording/);
  });
}
