/**
 * JSON Schema by ajv: the one file that knows of it. Schemas are compiled at first use and kept.
 */
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";

export interface PayloadIssue {
  /** `items[0].name`; empty for the payload itself. */
  readonly path: string;
  readonly message: string;
}

const options: Options = {
  allErrors: true,
  strict: false, // unknown keywords are annotations, as the specification has it
  validateFormats: false, // `format` is an annotation unless a vocabulary says otherwise
  addUsedSchema: false, // two registries may hold schemas with one `$id`
  logger: false,
};

let draft7: Ajv | undefined;
let draft2020: Ajv2020 | undefined;

function compilerFor(schema: Readonly<Record<string, unknown>>): Ajv | Ajv2020 {
  const dialect = schema["$schema"];
  if (typeof dialect === "string" && /20(19-09|20-12)/.test(dialect)) {
    return (draft2020 ??= new Ajv2020(options));
  }
  return (draft7 ??= new Ajv(options));
}

/**
 * The check of one schema: `undefined` for a value that fits, otherwise what is wrong with it.
 *
 * Throws ajv's own error when the schema is none.
 */
export function compileJsonSchema(
  schema: Readonly<Record<string, unknown>>,
): (value: unknown) => readonly PayloadIssue[] | undefined {
  const validate: ValidateFunction = compilerFor(schema).compile(schema);
  return (value) => (validate(value) ? undefined : (validate.errors ?? []).map(issueOf));
}

function issueOf(error: ErrorObject): PayloadIssue {
  const path = pathOfPointer(error.instancePath);
  if (error.keyword === "required") {
    const missing = String(error.params["missingProperty"]);
    return { path: path === "" ? missing : `${path}.${missing}`, message: "is missing" };
  }
  if (error.keyword === "enum") {
    const allowed = (error.params["allowedValues"] as readonly unknown[]).slice(0, 20);
    return {
      path,
      message: `must be one of ${allowed.map((one) => JSON.stringify(one)).join(", ")}`,
    };
  }
  return { path, message: error.message ?? `breaks ${error.keyword}` };
}

/** `/items/0/name` becomes `items[0].name`. */
function pathOfPointer(pointer: string): string {
  let path = "";
  for (const part of pointer.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (/^\d+$/.test(key)) path += `[${key}]`;
    else path += path === "" ? key : `.${key}`;
  }
  return path;
}
