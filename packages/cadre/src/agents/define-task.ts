import { CadreError } from "../core/errors.ts";
import type { PayloadType, StandardSchema } from "../core/event-definition.ts";
import { toFrozenJson, type JsonValue } from "../core/json.ts";
import { anything, checkOptions, oneOf, someText, wholeNumber } from "../core/options.ts";
import { isStandardSchema, payloadCheck } from "../core/payload-check.ts";
import type { DriftPolicy, TaskDefinition } from "./task.ts";

/**
 * What says the type of a task's input or output: `type<T>()`, which may carry a JSON Schema, or a
 * Standard Schema of any validator.
 */
export type TaskSchema<Value> = PayloadType<Value> | StandardSchema<Value>;

export interface TaskOptionsOf<Input, Output> {
  /** One or more words of `[a-z0-9_-]`, separated by dots: `extract.entities`. */
  readonly name: string;
  readonly input?: TaskSchema<Input>;
  readonly output?: TaskSchema<Output>;
  /** @default the name */
  readonly capability?: string;
  /** @default "1.0.0" */
  readonly version?: string;
  /** @default 3 */
  readonly maxAttempts?: number;
  readonly deadlineMs?: number;
  readonly timeoutMs?: number;
  /** Other versions whose running work this code can go on with. @default none */
  readonly resumes?: readonly string[];
  /** What a handler that asks for other steps than its journal holds comes to. @default "fail" */
  readonly drift?: DriftPolicy;
}

const namePattern = /^[a-z0-9_-]{1,64}(\.[a-z0-9_-]{1,64}){0,7}$/;
const someVersions = { expected: "a list of versions", accepts: Array.isArray };
const someName = {
  expected: "one to eight words of [a-z0-9_-], separated by dots",
  accepts: (value: unknown): boolean => typeof value === "string" && namePattern.test(value),
};

/**
 * Declares a kind of task.
 *
 * @throws {CadreError} INVALID_OPTION, when the name, the attempts or a time is impossible
 */
export function defineTask<Input, Output>(
  options: TaskOptionsOf<Input, Output>,
): TaskDefinition<Input, Output> {
  checkOptions("defineTask", options, {
    name: someName,
    input: anything,
    output: anything,
    capability: someName,
    version: someText,
    maxAttempts: wholeNumber(1),
    deadlineMs: wholeNumber(1),
    timeoutMs: wholeNumber(1),
    resumes: someVersions,
    drift: oneOf("fail", "warn"),
  });
  const { name, capability = name, maxAttempts = 3 } = options;
  return Object.freeze({
    name,
    capability,
    version: options.version ?? "1.0.0",
    maxAttempts,
    ...(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.resumes === undefined ? {} : { resumes: options.resumes }),
    ...(options.drift === undefined ? {} : { drift: options.drift }),
    checkInput: checker(options.input, `${name}'s input`),
    checkOutput: checker(options.output, `${name}'s output`),
  });
}

function checker<Value>(
  schema: TaskSchema<Value> | undefined,
  what: string,
): (value: unknown) => Value {
  const toJson = (value: unknown): JsonValue => (value === undefined ? null : toFrozenJson(value));
  const rule = isStandardSchema(schema) ? schema : schema?.schema;
  // Without a schema the type is the compiler's word alone.
  if (!rule) return (value) => toJson(value) as Value;
  const validate = payloadCheck(what, rule);
  return (value) => {
    const outcome = validate(toJson(value));
    if (!outcome.issues) return outcome.payload as Value;
    const { issues } = outcome;
    const list = issues.map(({ path, message }) => `${path || "(root)"}: ${message}`).join("; ");
    throw new CadreError("INVALID_PAYLOAD", `The value doesn't fit ${what}: ${list}`, {
      type: what,
      version: "1.0.0",
      issues,
    });
  };
}
