/**
 * Models without a provider: one that follows a script, and fails when it is not asked what the
 * script says; one that records a real model's answers, and gives them again.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

import { fromRecord, toRecord } from "../agents/models/model-json.ts";
import type {
  CallableModel,
  LanguageModel,
  ModelAnswer,
  ModelCall,
  StreamPart,
} from "../agents/models/language-model.ts";
import { answerOf } from "../agents/models/model-stream.ts";
import type { Clock } from "../core/clock.ts";
import { CadreError, describeError, TerminalError } from "../core/errors.ts";
import { stableJson } from "../core/stable-json.ts";
import { linesDiffer } from "./text-difference.ts";

export interface ScriptedToolCall {
  readonly tool: string;
  readonly input: unknown;
  /** @default `call-` and a number */
  readonly id?: string;
}

/** One answer, and what it is the answer to. */
export interface ScriptedReply {
  /**
   * What the call must be: a text that the last message holds, a pattern for it, or a function, for
   * which what it throws is a no.
   * @default any call
   */
  readonly expect?: string | RegExp | ((call: ScriptedCall) => boolean);
  readonly text?: string;
  /** The text as it is streamed. @default its words */
  readonly chunks?: readonly string[];
  readonly toolCalls?: readonly ScriptedToolCall[];
  /** Thrown instead of an answer; what is there of an answer is streamed before. */
  readonly error?: unknown;
  readonly usage?: { readonly inputTokens?: number; readonly outputTokens?: number };
  /** Before the answer, or between the pieces of a streamed one, in milliseconds. @default 0 */
  readonly delayMs?: number;
}

/** A call as the script sees it. */
export interface ScriptedCall {
  /** From 1. */
  readonly number: number;
  /** All messages, as `role: text` lines. */
  readonly transcript: string;
  /** The text of the last message, with the results of tools. */
  readonly last: string;
  readonly tools: readonly string[];
  readonly call: ModelCall;
}

export interface ScriptedModelOptions {
  /** For the delays. @default none: they are left out */
  readonly clock?: Clock;
  readonly provider?: string;
  readonly modelId?: string;
  /** "v3" for version 6 of the SDK. @default "v4", which is version 7's; 7 takes both */
  readonly specificationVersion?: "v3" | "v4";
}

/** The members are there for both majors; their types are not imported. */
export interface ScriptedModel extends LanguageModel {
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly specificationVersion: any;
  readonly supportedUrls: Record<string, RegExp[]>;
  // oxlint-disable-next-line typescript/no-explicit-any
  doGenerate(options: any): PromiseLike<any>;
  // oxlint-disable-next-line typescript/no-explicit-any
  doStream(options: any): PromiseLike<any>;
  readonly calls: readonly ScriptedCall[];
  /**
   * @throws {CadreError} WRONG_STATE, when it was asked something else than the script says, also
   * where that was swallowed, or when answers are left over
   */
  assertDone(): void;
}

/** Makes a model that gives these answers, one after the other. */
export function scriptedModel(
  script: readonly ScriptedReply[],
  options: ScriptedModelOptions = {},
): ScriptedModel {
  const { provider = "scripted", modelId = "script", specificationVersion = "v4" } = options;
  const calls: ScriptedCall[] = [];
  const drifts: string[] = [];
  const next = async (call: ModelCall): Promise<Turn> => {
    const asked = scriptedCall(calls.length + 1, call);
    calls.push(asked);
    const reply = script[calls.length - 1];
    const difference = differenceOf(asked, reply, script.length);
    if (!reply || difference !== undefined) {
      drifts.push(difference ?? "");
      throw new TerminalError(difference ?? "");
    }
    return { reply, number: asked.number };
  };
  const pause = async (reply: ScriptedReply, signal: AbortSignal | undefined): Promise<void> => {
    signal?.throwIfAborted();
    if (options.clock && reply.delayMs) await options.clock.sleep(reply.delayMs, signal);
  };
  const model: CallableModel = {
    specificationVersion,
    provider,
    modelId,
    supportedUrls: {},
    doGenerate: async (call) => {
      const { reply, number } = await next(call);
      await pause(reply, call.abortSignal);
      if (reply.error !== undefined) throw reply.error;
      return answerTo(reply, number);
    },
    doStream: async (call) => {
      const { reply, number } = await next(call);
      const parts = partsOf(reply, number);
      return { stream: streamed(parts, reply, () => pause(reply, call.abortSignal)) };
    },
  };
  const assertDone = (): void => {
    const left = script.length - calls.length;
    const [drift] = drifts;
    if (drift === undefined && left <= 0) return;
    const message =
      drift ??
      `${left} of ${script.length} answers of the script were not asked for. ` +
        `The next one was to ${show(script[calls.length]?.expect)}.`;
    throw new CadreError("WRONG_STATE", message, { what: modelId, state: "script" });
  };
  return Object.assign(model as unknown as ScriptedModel, { calls, assertDone });
}

interface Turn {
  readonly reply: ScriptedReply;
  /** Of the call, from 1. */
  readonly number: number;
}

/** Says how the call differs from the script; nothing, when it does not. */
function differenceOf(
  asked: ScriptedCall,
  reply: ScriptedReply | undefined,
  length: number,
): string | undefined {
  const { number, transcript } = asked;
  if (!reply) {
    return `The script has ${length} answers, and the model was called a time more:\n${transcript}`;
  }
  const wanted = misfit(asked, reply.expect);
  if (wanted === undefined) return undefined;
  return `Call ${number} of the model is not the script's.\n${wanted}\n  asked:\n${transcript}`;
}

function misfit(asked: ScriptedCall, expect: ScriptedReply["expect"]): string | undefined {
  const { last } = asked;
  if (expect === undefined) return undefined;
  if (typeof expect === "string") {
    return last.includes(expect) ? undefined : linesDiffer(expect, last);
  }
  const expected = `  expected: ${show(expect)}`;
  // A pattern with the flag "g" goes on behind its last hit when it is tested.
  if (expect instanceof RegExp) return last.search(expect) === -1 ? expected : undefined;
  try {
    return expect(asked) ? undefined : expected;
  } catch (error) {
    return `${expected}\n${describeError(error).message}`;
  }
}

function show(expect: ScriptedReply["expect"]): string {
  if (expect === undefined) return "any call";
  return typeof expect === "string" ? JSON.stringify(expect) : String(expect);
}

interface Message {
  readonly role?: string;
  readonly content?: unknown;
}

function scriptedCall(number: number, call: ModelCall): ScriptedCall {
  const messages = (call.prompt ?? []) as readonly Message[];
  const tools = (call["tools"] ?? []) as readonly { readonly name?: string }[];
  return {
    number,
    transcript: messages.map((said) => `    ${said.role}: ${textOf(said.content)}`).join("\n"),
    last: textOf(messages.at(-1)?.content),
    tools: tools.map(({ name = "" }) => name),
    call,
  };
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return stableJson(toRecord(content) ?? null);
  return (content as readonly Readonly<Record<string, unknown>>[])
    .map((part) => {
      const [kind, tool] = [String(part["type"]), String(part["toolName"])];
      if (kind === "text") return String(part["text"]);
      if (kind === "tool-call") {
        return `${tool}(${stableJson(toRecord(part["input"]) ?? null)})`;
      }
      if (kind !== "tool-result") return `[${kind}]`;
      const { value = part["output"] } = (part["output"] ?? {}) as { readonly value?: unknown };
      return `${tool} gave ${stableJson(toRecord(value) ?? null)}`;
    })
    .join(" ");
}

function answerTo(reply: ScriptedReply, number: number): ModelAnswer {
  const text = textIn(reply);
  const content = [...(text === "" ? [] : [{ type: "text", text }]), ...toolCallsOf(reply, number)];
  return { content, ...endOf(reply), warnings: [] };
}

function textIn({ text, chunks }: ScriptedReply): string {
  return text ?? chunks?.join("") ?? "";
}

function toolCallsOf({ toolCalls = [] }: ScriptedReply, number: number): readonly StreamPart[] {
  return toolCalls.map(({ tool, input, id }, index) => ({
    type: "tool-call",
    toolCallId: id ?? `call-${number}-${index + 1}`,
    toolName: tool,
    input: JSON.stringify(input),
  }));
}

function endOf(reply: ScriptedReply): { readonly finishReason: unknown; readonly usage: unknown } {
  const { inputTokens: input = 10, outputTokens: output = 5 } = reply.usage ?? {};
  const unified = reply.toolCalls?.length ? "tool-calls" : "stop";
  return {
    finishReason: { unified, raw: unified },
    usage: {
      inputTokens: { total: input, noCache: input, cacheRead: 0, cacheWrite: 0 },
      outputTokens: { total: output, text: output, reasoning: 0 },
    },
  };
}

function partsOf(reply: ScriptedReply, number: number): readonly StreamPart[] {
  const chunks = reply.chunks ?? textIn(reply).match(/\S+\s*|\s+/g) ?? [];
  const text =
    chunks.length === 0
      ? []
      : [
          { type: "text-start", id: "1" },
          ...chunks.map((delta) => ({ type: "text-delta", id: "1", delta })),
          { type: "text-end", id: "1" },
        ];
  return [
    { type: "stream-start", warnings: [] },
    ...text,
    ...toolCallsOf(reply, number),
    { type: "finish", ...endOf(reply) },
  ];
}

function streamed(
  parts: readonly StreamPart[],
  { error }: ScriptedReply,
  pause: () => Promise<void>,
): ReadableStream<StreamPart> {
  const left = [...parts];
  return new ReadableStream<StreamPart>({
    pull: async (controller) => {
      const part = left.shift();
      if (part?.type === "text-delta" || part?.type === "finish") await pause();
      if (part?.type === "finish" && error !== undefined) return controller.error(error);
      if (part) controller.enqueue(part);
      else controller.close();
    },
  });
}

/** A model's answers in a file. */
interface Recording {
  readonly question: string;
  readonly answer: unknown;
}

/**
 * The model, whose answers are written into a file; where there is a file already, its answers are
 * given again and the model is never called. A call that is not the recorded one fails.
 *
 * @param options.mode `auto` records when there is no file yet
 */
export function recordedModel<Model extends LanguageModel>(
  model: Model,
  file: string,
  options: { readonly mode?: "auto" | "record" | "replay" } = {},
): Model {
  // Both majors' types of calls and answers are this shape; see `language-model.ts`.
  const real = model as unknown as CallableModel;
  const known = options.mode === "record" ? undefined : readRecordings(file);
  if (!known && options.mode === "replay") {
    throw new CadreError("NOT_FOUND", `There is no recording ${file}. Record it first.`, {
      what: "recording",
      id: file,
    });
  }
  const asking: { readonly question: string; readonly answer?: unknown }[] = [];
  let calls = 0;
  const ask = async (call: ModelCall, kind: string): Promise<ModelAnswer> => {
    const { abortSignal: _signal, headers: _headers, ...rest } = call;
    const question = stableJson(toRecord({ kind, ...rest }) ?? null);
    if (known) return replayed(known[calls++], question, calls);
    // Its place is that of its beginning, for so the calls are counted when they are given again.
    const asked: { question: string; answer?: unknown } = { question };
    asking.push(asked);
    const answer = kind === "stream" ? await wholeOf(real, call) : await real.doGenerate(call);
    asked.answer = toRecord(withoutRequest(answer));
    const answered = asking.filter((each) => "answer" in each);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(answered, null, 2)}\n`);
    return answer;
  };
  const recorded: CallableModel = {
    specificationVersion: model.specificationVersion,
    provider: model.provider,
    modelId: model.modelId,
    get supportedUrls() {
      return real.supportedUrls;
    },
    doGenerate: (call) => ask(call, "generate"),
    doStream: async (call) => {
      const answer = toRecord(await ask(call, "stream")) ?? null;
      const { provider, modelId } = model;
      const { parts } = answerOf({ answer, provider, modelId, latencyMs: 0, tries: 1 });
      return { stream: ReadableStream.from(parts) };
    },
  };
  return recorded as unknown as Model;
}

function withoutRequest({ request: _request, ...rest }: ModelAnswer): ModelAnswer {
  return rest;
}

function replayed(known: Recording | undefined, question: string, number: number): ModelAnswer {
  if (known?.question === question) return fromRecord(known.answer) as ModelAnswer;
  const why = known
    ? `Call ${number} is not the recorded one.\n${linesDiffer(known.question, question)}`
    : `The recording has ${number - 1} answers, and the model was called a time more.`;
  throw new TerminalError(`${why}\nRecord it anew (mode: "record").`);
}

function readRecordings(file: string): readonly Recording[] | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as readonly Recording[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** A stream to its end, as one answer. */
async function wholeOf(model: CallableModel, call: ModelCall): Promise<ModelAnswer> {
  const { stream } = await model.doStream(call);
  const parts: StreamPart[] = [];
  for await (const part of stream) parts.push(part);
  return { parts };
}
