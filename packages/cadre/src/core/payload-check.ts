/** One check of a payload, whatever its schema is written in. */
import { CadreError } from "./errors.ts";
import type {
  JsonSchema,
  StandardIssue,
  StandardResult,
  StandardSchema,
} from "./event-definition.ts";
import { compileJsonSchema, type PayloadIssue } from "./json-schema.ts";

/** What a check says: the payload as its schema makes it, or what is wrong with it. */
export type CheckResult =
  | { readonly payload: unknown; readonly issues?: undefined }
  | { readonly issues: readonly PayloadIssue[] };

export type PayloadCheck = (payload: unknown) => CheckResult;

export function isStandardSchema(value: unknown): value is StandardSchema {
  return (
    ((typeof value === "object" && value !== null) || typeof value === "function") &&
    "~standard" in value
  );
}

/**
 * The JSON Schema of what `schema` takes; nothing where the validator cannot tell.
 */
export function jsonSchemaOf(
  schema: JsonSchema | StandardSchema | undefined,
): JsonSchema | undefined {
  if (schema === undefined || !isStandardSchema(schema)) return schema;
  try {
    return schema["~standard"].jsonSchema?.input({ target: "draft-2020-12" });
  } catch {
    return undefined; // something in it has no JSON Schema
  }
}

/**
 * The check of `schema`, made at its first use.
 *
 * @throws {CadreError} INVALID_OPTION, at first use: the schema is none, or validates
 *   asynchronously
 */
export function payloadCheck(type: string, schema: JsonSchema | StandardSchema): PayloadCheck {
  if (isStandardSchema(schema)) return (payload) => checkStandard(type, schema, payload);
  let validate: ((value: unknown) => readonly PayloadIssue[] | undefined) | undefined;
  return (payload) => {
    validate ??= compile(type, schema);
    const issues = validate(payload);
    return issues ? { issues } : { payload };
  };
}

function compile(
  type: string,
  schema: JsonSchema,
): (value: unknown) => readonly PayloadIssue[] | undefined {
  try {
    return compileJsonSchema(schema);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CadreError(
      "INVALID_OPTION",
      `The JSON Schema of event type "${type}" cannot be used: ${why}.`,
      { option: `${type}.schema`, value: schema },
      error,
    );
  }
}

function checkStandard(type: string, schema: StandardSchema, payload: unknown): CheckResult {
  const result = schema["~standard"].validate(payload);
  if (isPromise(result)) {
    // Nobody waits for it; its failure must not end the process.
    result.then(undefined, () => undefined);
    throw new CadreError(
      "INVALID_OPTION",
      `The schema of event type "${type}" validates asynchronously. ` +
        "Use one that answers at once, and do what must wait in the handler.",
      { option: `${type}.schema` },
    );
  }
  return result.issues ? { issues: result.issues.map(issueOf) } : { payload: result.value };
}

function isPromise(
  result: StandardResult<unknown> | Promise<StandardResult<unknown>>,
): result is Promise<StandardResult<unknown>> {
  return "then" in result && typeof result.then === "function";
}

function issueOf(issue: StandardIssue): PayloadIssue {
  let path = "";
  for (const part of issue.path ?? []) {
    const key = typeof part === "object" ? part.key : part;
    if (typeof key === "number") path += `[${key}]`;
    else path += path === "" ? String(key) : `.${String(key)}`;
  }
  return { path, message: issue.message };
}
