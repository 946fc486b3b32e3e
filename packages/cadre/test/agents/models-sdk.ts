/** The AI SDK in both majors that Cadre is tried with, and a tool loop on them. */
import * as current from "ai";
import * as previous from "ai6";

import { defineAgent, defineTask, type AnyAgent, type LanguageModel } from "cadre/agents";
import { type } from "cadre";
import { scriptedModel, type ScriptedModel, type ScriptedReply } from "cadre/testing";

export interface Sdk {
  readonly name: string;
  readonly specificationVersion: "v3" | "v4";
  // The two majors have types of their own for the same calls.
  readonly ai: typeof current;
}

export const sdks: readonly Sdk[] = [
  { name: "ai 7", specificationVersion: "v4", ai: current },
  { name: "ai 6", specificationVersion: "v3", ai: previous as unknown as typeof current },
];

export const Report = defineTask({
  name: "report",
  input: type<{ city: string }>(),
  output: type<string>(),
});

/** Three calls of the model with two rounds of tools between them, the second of two at once. */
export const script: readonly ScriptedReply[] = [
  {
    expect: "Oslo",
    toolCalls: [{ tool: "weather", input: { city: "Oslo" } }],
    usage: { inputTokens: 20, outputTokens: 10 },
  },
  {
    expect: "weather gave",
    toolCalls: [
      { tool: "book", input: { what: "boat" } },
      { tool: "book", input: { what: "hotel" } },
    ],
    usage: { inputTokens: 40, outputTokens: 20 },
  },
  { expect: "book gave", text: "All is booked.", usage: { inputTokens: 60, outputTokens: 5 } },
];

export interface World {
  /** How often the provider was called, by the number of the prompt's messages. */
  readonly paid: string[];
  /** Keys of what was booked, as often as it was. */
  readonly booked: string[];
}

/** A provider that answers by what it is asked, as a real one does, and counts. */
export function countingModel(world: World, { specificationVersion }: Sdk): LanguageModel {
  const pick = (call: { readonly prompt: readonly unknown[] }): ScriptedModel => {
    const round = (call.prompt.length - 1) / 2;
    world.paid.push(`call ${round + 1}`);
    return scriptedModel(script.slice(round, round + 1), { specificationVersion });
  };
  return {
    ...scriptedModel([], { specificationVersion, provider: "counting.chat" }),
    doGenerate: (call: never) => pick(call).doGenerate(call),
    doStream: (call: never) => pick(call).doStream(call),
  };
}

export function reporter(sdk: Sdk, model: LanguageModel, world: World, streams = false): AnyAgent {
  const { generateText, jsonSchema, stepCountIs, streamText, tool } = sdk.ai;
  const schema = jsonSchema<Record<string, string>>({ type: "object" });
  return defineAgent({ name: "reporter" }).does(Report, async ({ city }, ctx) => {
    const book = (_input: unknown, options: object): string => {
      const { stepKey } = options as { readonly stepKey: string };
      world.booked.push(stepKey);
      return "booked";
    };
    const asked = {
      model: ctx.model(model) as Parameters<typeof generateText>[0]["model"],
      prompt: `Go to ${city}.`,
      stopWhen: stepCountIs(5),
      tools: ctx.tools({
        weather: tool({ inputSchema: schema, execute: async () => ({ sky: "grey" }) }),
        book: tool({ inputSchema: schema, execute: book }),
      }),
    };
    if (!streams) return (await generateText(asked)).text;
    return streamText({ ...asked, onError: () => undefined }).text;
  });
}
