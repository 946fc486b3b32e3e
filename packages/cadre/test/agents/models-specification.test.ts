/** Models of specification v2 in either major: flat usage, calls side by side, ids that repeat. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, type LanguageModel } from "cadre/agents";
import { scriptedModel, testTeam } from "cadre/testing";
import { sdks } from "./models-sdk.ts";

// The SDK says of each v2 model that it is an older one.
Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

const Do = defineTask({ name: "do", output: type<string>() });

const usage = { inputTokens: 7, outputTokens: 3, totalTokens: 10 };

/** Asks for three tools at once, two of them under one id, and then says what it was told. */
function older(calls: string[]): LanguageModel {
  const toolCall = (toolCallId: string, toolName: string) => ({
    ...{ type: "tool-call", toolCallId, toolName, input: "{}" },
  });
  return {
    ...scriptedModel([]),
    specificationVersion: "v2",
    doGenerate: async ({
      prompt,
    }: {
      readonly prompt: readonly { readonly content: unknown }[];
    }) => {
      calls.push("generate");
      const isFirst = prompt.length === 1;
      const text = JSON.stringify(prompt.at(-1)?.content);
      return {
        content: isFirst
          ? [toolCall("0", "look"), toolCall("0", "fail"), toolCall("1", "look")]
          : [{ type: "text", text }],
        finishReason: isFirst ? "tool-calls" : "stop",
        usage,
        warnings: [],
      };
    },
    doStream: async () => {
      calls.push("stream");
      const stream = ReadableStream.from([
        { type: "stream-start", warnings: [] },
        { type: "text-start", id: "1" },
        { type: "text-delta", id: "1", delta: "streamed" },
        { type: "text-end", id: "1" },
        { type: "finish", finishReason: "stop", usage },
      ]);
      return { stream };
    },
  };
}

for (const { ai, name } of sdks) {
  test(`a model of specification v2 is journaled like the others (${name})`, async () => {
    const bench = testTeam({ strict: true });
    const { generateText, jsonSchema, stepCountIs, streamText, tool } = ai;
    const inputSchema = jsonSchema<Record<string, unknown>>({ type: "object" });
    const calls: string[] = [];
    const ran: string[] = [];
    const model = older(calls);
    const agent = defineAgent({ name: "doer" }).does(Do, async (_input, ctx) => {
      const wrapped = ctx.model(model) as Parameters<typeof generateText>[0]["model"];
      const { text } = await generateText({
        model: wrapped,
        prompt: "Look.",
        stopWhen: stepCountIs(3),
        tools: ctx.tools({
          look: tool({ inputSchema, execute: () => `seen ${ran.push("look")}` }),
          fail: tool({
            inputSchema,
            execute: (): string => {
              ran.push("fail");
              throw new Error("nothing there");
            },
          }),
        }),
      });
      return `${text} ${await streamText({ model: wrapped, prompt: "Tell." }).text}`;
    });
    const team = await bench.start({ agents: [agent] });
    const task = await team.tasks.create(Do, {}, { budget: { tokens: 50_000 } });
    const result = await bench.until(task.result());
    for (const part of [/seen 1/, /nothing there/, /seen \d/, / streamed$/]) {
      assert.match(result, part);
    }
    assert.deepEqual(calls, ["generate", "generate", "stream"]);
    assert.deepEqual(ran.toSorted(), ["fail", "look", "look"]);
    const [ledger] = await team.budgets.list();
    assert.deepEqual(ledger?.spent, { tokens: 30, calls: 3, money: 0 });
    await bench.close();
  });
}
