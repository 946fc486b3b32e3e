/** What the journal keeps of a model's call, and what is said of it. */
import type { JsonValue } from "../../core/json.ts";
import type { StepFact } from "../journal-sink.ts";
import type { Reservation } from "./budget-ledger.ts";
import type { ChargedWork } from "./budget-scopes.ts";
import type { ModelAnswer } from "./language-model.ts";
import { toRecord } from "./model-json.ts";
import type { ModelUsage, Spending } from "./model-usage.ts";

/** What a call has come to, as JSON. */
export interface CallRecord {
  /** The answer, or the parts of a streamed one. */
  readonly answer: JsonValue;
  readonly provider: string;
  readonly modelId: string;
  readonly usage?: ModelUsage;
  readonly cost?: number;
  /** Of the try that succeeded. */
  readonly latencyMs: number;
  readonly tries: number;
  readonly finishReason?: string;
  /** The budget allowed only the cheaper model. */
  readonly degraded?: true;
  /** Which run of a stream it is, for its readers. */
  readonly generation?: number;
  /** What is due to the budgets; paid when the record is durable. */
  readonly charge?: {
    readonly reservation: Pick<Reservation, "id" | "scopes">;
    readonly amount: Spending;
  };
}

/** What one try brought. */
export interface Performed {
  readonly answer: JsonValue;
  readonly usage: unknown;
  readonly finishReason: unknown;
  readonly generation?: number;
}

/**
 * The answer as it is kept. What was sent is left out, for the prompt of a tool loop holds all that
 * came before; and so is the raw body of what came back.
 */
export function answerRecord(answer: ModelAnswer): Performed {
  const { request: _request, response, ...rest } = answer;
  const { usage, finishReason } = answer;
  const kept = { ...rest, ...withoutBody(response) };
  return { answer: toRecord(kept) ?? null, usage, finishReason };
}

export function withoutBody(response: Readonly<Record<string, unknown>> | undefined): {
  readonly response?: Readonly<Record<string, unknown>>;
} {
  if (response === undefined) return {};
  const { body: _body, ...rest } = response;
  return { response: rest };
}

/** `stop`, `length`, `tool-calls` …, in the words of both majors. */
export function finishWord(reason: unknown): string | undefined {
  if (typeof reason === "string") return reason;
  const unified = (reason as { readonly unified?: unknown } | undefined)?.unified;
  return typeof unified === "string" ? unified : undefined;
}

/** The record of a step; or what a person gave in place of the model's answer. */
export function readRecord(result: unknown): CallRecord {
  if (typeof result === "object" && result !== null && "modelId" in result) {
    return result as CallRecord;
  }
  const text = typeof result === "string" ? result : JSON.stringify(result ?? null);
  const tokens = { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0, text: 0, reasoning: 0 };
  const answer = {
    content: [{ type: "text", text }],
    finishReason: { unified: "stop", raw: "stop" },
    usage: { inputTokens: tokens, outputTokens: tokens },
    warnings: [],
  };
  return { answer, provider: "person", modelId: "person", latencyMs: 0, tries: 0 };
}

/** `model.called`: what projections of cost are made of. Neither prompt nor answer are in it. */
export function calledFact(
  { answer: _answer, generation: _generation, charge: _charge, ...call }: CallRecord,
  by: { readonly step: string; readonly agent: string; readonly work: ChargedWork },
): StepFact {
  const { step, agent, work } = by;
  const { feature } = work.task ?? {};
  return {
    type: "model.called",
    payload: {
      agent,
      step,
      ...call,
      ...(feature === undefined ? {} : { feature }),
      ...(work.tenant === undefined ? {} : { tenant: work.tenant }),
    },
  };
}
