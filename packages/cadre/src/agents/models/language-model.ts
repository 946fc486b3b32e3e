/**
 * What is used of a model of the Vercel AI SDK. Its types aren't imported, to have no dependency on
 * it: any object of this shape fits, of the current major and of the one before.
 */

/** A model as the SDK's providers make them: `openai("gpt-…")`, `anthropic("claude-…")`. */
export interface LanguageModel {
  readonly specificationVersion: string;
  readonly provider: string;
  readonly modelId: string;
  // Each major has its own types of the call and of the answer; all of them pass.
  doGenerate(options: never): PromiseLike<unknown>;
  doStream(options: never): PromiseLike<unknown>;
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
