import { CadreError } from "../core/errors.ts";
import { toFrozenJson } from "../core/json.ts";
import type { TaskDefinition } from "./task.ts";

/** The part of a Standard Schema (https://standardschema.dev) that a task uses. Any validator that has it fits. */
interface SchemaLike<Value> {
  readonly "~standard": {
    readonly validate: (
      value: unknown,
    ) =>
      | { readonly value: Value; readonly issues?: undefined }
      | { readonly issues: readonly { readonly message: string; readonly path?: unknown }[] }
      | Promise<unknown>;
  };
}

/** What says the type of a task's input or output: a Standard Schema, or `type<T>()`, which checks nothing at run time. */
export type TaskSchema<Value> = SchemaLike<Value> | { readonly type?: Value };

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
    checkInput: (input: unknown) => check(options.input, input, `${name}'s input`),
    checkOutput: (output: unknown) => check(options.output, output, `${name}'s output`),
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

function check<Value>(schema: TaskSchema<Value> | undefined, value: unknown, what: string): Value {
  const json = value === undefined ? null : toFrozenJson(value);
  if (!schema || !("~standard" in schema)) return json as Value;
  const outcome = schema["~standard"].validate(json);
  if (outcome instanceof Promise) {
    throw new CadreError(
      "INVALID_OPTION",
      `The schema of ${what} is asynchronous. Give one that answers at once.`,
      { option: "schema" },
    );
  }
  if (!outcome.issues) return outcome.value;
  const issues = outcome.issues.map((issue) => ({
    path: Array.isArray(issue.path) ? issue.path.map(segmentOf).join(".") : "",
    message: issue.message,
  }));
  throw new CadreError(
    "INVALID_PAYLOAD",
    `The value doesn't fit ${what}: ` +
      issues.map((issue) => `${issue.path || "(root)"}: ${issue.message}`).join("; "),
    { type: what, version: "1.0.0", issues },
  );
}

function segmentOf(segment: unknown): string {
  if (typeof segment === "object" && segment !== null && "key" in segment) {
    return String(segment.key);
  }
  return String(segment);
}
