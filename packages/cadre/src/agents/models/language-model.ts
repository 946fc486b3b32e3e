/**
 * What is used of a model of the Vercel AI SDK. Its types aren't imported, to have no dependency on
 * it: any object of this shape fits, of the current major and of the one before.
 */
import { CadreError } from "../../core/errors.ts";

/** A model as the SDK's providers make them: `openai("gpt-…")`, `anthropic("claude-…")`. */
export interface LanguageModel {
  readonly specificationVersion: string;
  readonly provider: string;
  readonly modelId: string;
  // Each major has its own types of the call and of the answer; all of them pass.
  doGenerate(options: never): PromiseLike<unknown>;
  doStream(options: never): PromiseLike<unknown>;
}

/**
 * Refuses what can't be called as a model, before a call is made, tried again and charged.
 *
 * @param where what it was given to, for the message
 * @throws {CadreError} INVALID_OPTION
 */
export function checkModel(where: string, model: unknown): void {
  const refuse = (why: string): never => {
    const hint = "Give a model of the AI SDK, made by a provider's package.";
    const message = `${where} ${why}. ${hint}`;
    throw new CadreError("INVALID_OPTION", message, { option: "model" });
  };
  if (typeof model === "string") refuse(`was given ${JSON.stringify(model)}, an id`);
  if (typeof model !== "object" || model === null) {
    return refuse(`was given ${typeof model === "function" ? "a function" : String(model)}`);
  }
  const members = model as Readonly<Record<string, unknown>>;
  for (const name of ["specificationVersion", "provider", "modelId"]) {
    if (typeof members[name] !== "string") refuse(`was given an object that has no ${name}`);
  }
  for (const name of ["doGenerate", "doStream"]) {
    if (typeof members[name] !== "function") refuse(`was given an object that has no ${name}`);
  }
  const { specificationVersion } = members;
  // Its calls and answers have another shape.
  if (specificationVersion === "v1") refuse('was given a model of specification "v1"');
}

/** What is looked at of a call. Everything else is passed on as it is. */
export interface ModelCall {
  readonly prompt: readonly unknown[];
  readonly maxOutputTokens?: number | undefined;
  readonly abortSignal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
  readonly [setting: string]: unknown;
}

export interface ModelAnswer {
  readonly content?: readonly unknown[];
  readonly usage?: unknown;
  readonly finishReason?: unknown;
  readonly response?: Readonly<Record<string, unknown>>;
  readonly [member: string]: unknown;
}

/** One part of a streamed answer. */
export interface StreamPart {
  readonly type: string;
  readonly [member: string]: unknown;
}

export interface StreamedAnswer {
  readonly stream: ReadableStream<StreamPart>;
  readonly response?: Readonly<Record<string, unknown>>;
  readonly [member: string]: unknown;
}

/** The model as it is called here. */
export interface CallableModel {
  readonly specificationVersion: string;
  readonly provider: string;
  readonly modelId: string;
  readonly supportedUrls?: unknown;
  doGenerate(call: ModelCall): PromiseLike<ModelAnswer>;
  doStream(call: ModelCall): PromiseLike<StreamedAnswer>;
}

/** Which model it was. */
export interface ModelIdentity {
  readonly provider: string;
  readonly modelId: string;
}
