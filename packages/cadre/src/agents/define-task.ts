import { CadreError } from "../core/errors.ts";
import type { PayloadType, StandardSchema } from "../core/event-definition.ts";
import { toFrozenJson, type JsonValue } from "../core/json.ts";
import { isStandardSchema, payloadCheck } from "../core/payload-check.ts";
import type { TaskDefinition } from "./task.ts";

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
}

const namePattern = /^[a-z0-9_-]{1,64}(\.[a-z0-9_-]{1,64}){0,7}$/;

/**
 * Declares a kind of task.
 *
 * @throws {CadreError} INVALID_OPTION, when the name, the attempts or a time is impossible
 */
export function defineTask<Input, Output>(
  options: TaskOptionsOf<Input, Output>,
): TaskDefinition<Input, Output> {
  const { name, maxAttempts = 3 } = options;
  const capability = options.capability ?? name;
  for (const [option, value] of [
    ["name", name],
    ["capability", capability],
  ] as const) {
    if (!namePattern.test(value)) {
      throw new CadreError(
        "INVALID_OPTION",
        `The task's ${option} "${value}" isn't one to eight words of [a-z0-9_-], separated by dots.`,
        { option, value },
      );
    }
  }
  checkPositive("maxAttempts", maxAttempts);
  if (options.deadlineMs !== undefined) checkPositive("deadlineMs", options.deadlineMs);
  if (options.timeoutMs !== undefined) checkPositive("timeoutMs", options.timeoutMs);
  return Object.freeze({
    name,
    capability,
    version: options.version ?? "1.0.0",
    maxAttempts,
    ...(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    checkInput: checker(options.input, `${name}'s input`),
    checkOutput: checker(options.output, `${name}'s output`),
  });
}

function checkPositive(option: string, value: number): void {
  if (Number.isInteger(value) && value > 0) return;
  throw new CadreError(
    "INVALID_OPTION",
    `The task's ${option} is ${value}. Give a whole number above 0.`,
    { option, value },
  );
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
