/** Tools: functions each call of which is a step. */
import { describeError, isCadreError, type ErrorCode } from "../../core/errors.ts";
import type { JsonValue } from "../../core/json.ts";
import type { StepOptions } from "../step-options.ts";
import { isPassing } from "../passing-trouble.ts";
import type { HandlerModelsPort } from "./handler-models.ts";
import type { ToolCallInfo, ToolOptions } from "./model-context.ts";
import { fromRecord, toRecord } from "./model-json.ts";

// The types of its input and its output belong together; here it is one of many.
export type ToolRun = (input: never, call: ToolCallInfo) => unknown;

export interface ToolStep {
  readonly name: string;
  /** The journal's name for the call. */
  readonly step: string;
  readonly input: unknown;
  readonly run: ToolRun;
  /** What the SDK says of the call. */
  readonly call: object;
  readonly options: ToolOptions;
}

/** A call's outcome as the journal keeps it: what it threw is an answer too. */
interface ToolRecord {
  readonly value?: JsonValue;
  readonly error?: JsonValue;
  readonly durationMs: number;
}

/** Errors that are no answer of the tool: the attempt ends by them. */
const notAnswers: ReadonlySet<ErrorCode> = new Set([
  "TERMINAL",
  "RETRYABLE",
  "LEASE_LOST",
  "CANCELLED",
  "CLOSED",
  "STEP_DRIFT",
  "STEP_IN_DOUBT",
  "BUDGET_EXHAUSTED",
  "INTERNAL",
]);

export async function toolStep(port: HandlerModelsPort, asked: ToolStep): Promise<unknown> {
  const { context, agent, journal, signal } = port;
  const { name, step, input, call, options } = asked;
  const run = async (stepKey: string): Promise<ToolRecord> => {
    const startedAt = context.clock.monotonic();
    const durationMs = (): number => Math.round(context.clock.monotonic() - startedAt);
    try {
      const value = toRecord(await lastOf(asked.run(input as never, { ...call, stepKey, signal })));
      return { ...(value === undefined ? {} : { value }), durationMs: durationMs() };
    } catch (error) {
      if (signal.aborted || isPassing(error)) throw error;
      if (isCadreError(error) && notAnswers.has(error.code)) throw error;
      return { error: toRecord(error) ?? describeError(error).message, durationMs: durationMs() };
    }
  };
  const result = await journal.step<ToolRecord>({
    name: step,
    input: toRecord(input) ?? null,
    run,
    options: recorded(options),
    facts: (known) => {
      const { error, durationMs } = readTool(known);
      const { name: kind, message } = describeError(fromRecord(error));
      const failed = error === undefined ? {} : { error: { name: kind, message } };
      return [
        { type: "tool.invoked", payload: { tool: name, agent, step, durationMs, ...failed } },
      ];
    },
  });
  const { value, error } = readTool(result);
  if (error !== undefined) throw fromRecord(error);
  return fromRecord(value);
}

/** The record of a call; or what a person gave in its place. */
function readTool(result: unknown): ToolRecord {
  if (typeof result === "object" && result !== null && "durationMs" in result) {
    return result as ToolRecord;
  }
  return { durationMs: 0, ...(result === undefined ? {} : { value: result as JsonValue }) };
}

/** The step's options, which see values where the journal has records. */
function recorded(own: ToolOptions): StepOptions<ToolRecord, unknown> {
  const { undo, check, ...rest } = own;
  return {
    ...rest,
    ...(undo === undefined
      ? {}
      : {
          undo: ({ key, input, result }) =>
            undo({ key, input: fromRecord(input), result: fromRecord(readTool(result).value) }),
        }),
    ...(check === undefined
      ? {}
      : {
          check: async (key, input) => {
            const found: unknown = await check(key, fromRecord(input));
            const value = toRecord(found);
            return value === undefined ? undefined : { value, durationMs: 0 };
          },
        }),
  };
}

/** A tool may give what it has so far again and again; the last one is its answer. */
async function lastOf(result: unknown): Promise<unknown> {
  const settled = await result;
  if (typeof settled !== "object" || settled === null) return settled;
  if (!(Symbol.asyncIterator in settled)) return settled;
  let last: unknown;
  for await (const value of settled as AsyncIterable<unknown>) last = value;
  return last;
}
