/** Calls of models, what they cost, and the text of those that are streamed. */
import {
  count,
  durationMs,
  fact,
  flag,
  number,
  object,
  oneOf,
  optional,
  ordinal,
  text,
  word,
  type BuiltinFamily,
} from "./payload-schema.ts";

export interface PlainUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedTokens?: number;
  readonly reasoningTokens?: number;
}

export interface ModelCalled {
  readonly agent: string;
  readonly provider: string;
  readonly modelId: string;
  /** Name of the call in its handler's journal. */
  readonly step: string;
  readonly taskId?: string;
  readonly feature?: string;
  readonly tenant?: string;
  readonly usage?: PlainUsage;
  /** By the user's price function. */
  readonly cost?: number;
  /** Of the try that succeeded. */
  readonly latencyMs: number;
  readonly tries: number;
  readonly finishReason?: string;
  /** The budget allowed only the cheaper model. */
  readonly degraded?: boolean;
}

export interface BudgetExhausted {
  /** `task:ID`, `feature:ID` or `tenant:NAME`. */
  readonly scope: string;
  readonly unit: "tokens" | "calls" | "money";
  readonly limit: number;
  /** With what is reserved and what is in doubt. */
  readonly spent: number;
  /** The worst that the call may come to. */
  readonly wanted: number;
  readonly policy: "stop" | "degrade" | "ask";
  readonly agent?: string;
  readonly step?: string;
  readonly provider?: string;
  readonly modelId?: string;
  readonly taskId?: string;
  readonly feature?: string;
  readonly tenant?: string;
}

export interface AgentStream {
  /** Key of the step whose answer it is. */
  readonly streamId: string;
  readonly agent: string;
  readonly taskId?: string;
  /** Higher when the stream was begun again. */
  readonly generation: number;
  /** From 1 in each generation. */
  readonly number: number;
  /** Of the first character. */
  readonly offset: number;
  readonly text: string;
}

export type ModelEvents = {
  "model.called": ModelCalled;
  "budget.exhausted": BudgetExhausted;
  "agent.stream": AgentStream;
};

const whose = {
  taskId: optional(word),
  feature: optional(word),
  tenant: optional(word),
};

export const modelEvents: BuiltinFamily<ModelEvents> = {
  "model.called": fact("A model has answered; this is what it took.", {
    agent: word,
    provider: word,
    modelId: word,
    step: word,
    ...whose,
    usage: optional(
      object<PlainUsage>({
        inputTokens: count,
        outputTokens: count,
        cachedTokens: optional(count),
        reasoningTokens: optional(count),
      }),
    ),
    cost: optional(number),
    latencyMs: durationMs,
    tries: count,
    finishReason: optional(text),
    degraded: optional(flag),
  }),
  "budget.exhausted": fact("A budget does not allow a call; its policy decides.", {
    scope: word,
    unit: oneOf("tokens", "calls", "money"),
    limit: number,
    spent: number,
    wanted: number,
    policy: oneOf("stop", "degrade", "ask"),
    agent: optional(word),
    step: optional(word),
    provider: optional(word),
    modelId: optional(word),
    ...whose,
  }),
  "agent.stream": fact("A piece of a text that a model is writing.", {
    streamId: word,
    agent: word,
    taskId: optional(word),
    generation: ordinal,
    number: ordinal,
    offset: count,
    text,
  }),
};
