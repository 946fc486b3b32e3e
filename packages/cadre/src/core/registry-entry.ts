/** One event type of a registry, made of its definition and checked against its past. */
import { CadreError } from "./errors.ts";
import type { EventDefinition, EventDefinitions, JsonSchema } from "./event-definition.ts";
import { anything, checkOptions, oneOf, someObject, someText } from "./options.ts";
import {
  isStandardSchema,
  jsonSchemaOf,
  payloadCheck,
  type PayloadCheck,
} from "./payload-check.ts";
import { compareVersions, fullVersion } from "./payload-version.ts";
import type { EventTypeInfo } from "./registry.ts";
import {
  compareSchemas,
  compatibilityModes,
  findingText,
  type CompatibilityMode,
  type SchemaFinding,
} from "./schema-compatibility.ts";
import { readVersion, upcastSteps, type UpcastSteps } from "./upcasting.ts";

export interface RegistryEntry {
  readonly info: EventTypeInfo;
  readonly version: string;
  readonly check: PayloadCheck | undefined;
  readonly steps: UpcastSteps;
}

/**
 * The full version: the current one, one that leads to it, or a later one of the same major number
 * where later ones are promised to be readable.
 *
 * @throws {CadreError} UNKNOWN_VERSION
 */
export function readableVersion(type: string, version: string, entry: RegistryEntry): string {
  const { version: current, steps } = entry;
  const full = fullVersion(version);
  if (full !== undefined && (full === current || steps.has(full))) return full;
  if (full !== undefined && isNewer(full, entry)) return full;
  const newer = full !== undefined && compareVersions(full, current) > 0;
  throw new CadreError(
    "UNKNOWN_VERSION",
    `"${type}" came in version ${version}, and this registry knows ${current}. ` +
      (newer ? "Update this program." : `No upcaster leads on from ${version}.`),
    { type, version },
  );
}

/** A later version that this one's `compatibility` promises to be able to read. */
export function isNewer(version: string, { version: current, info }: RegistryEntry): boolean {
  if (info.compatibility !== "forward" && info.compatibility !== "full") return false;
  const major = (text: string): string | undefined => text.split(".")[0];
  return major(version) === major(current) && compareVersions(version, current) > 0;
}

export function readMode(where: string, compatibility: CompatibilityMode): CompatibilityMode {
  checkOptions(where, { compatibility }, { compatibility: oneOf(...compatibilityModes) });
  return compatibility;
}

const detailRules = {
  schema: anything,
  version: someText,
  description: someText,
  upcast: someObject,
  accepts: anything,
  earlier: someObject,
  compatibility: oneOf(...compatibilityModes),
};

/** A definition that is a schema itself, put in its place. */
function detailsOf(type: string, definition: EventDefinitions[string]): EventDefinition {
  if (isStandardSchema(definition)) return { schema: definition };
  const isDetailed =
    ["schema", "version", "upcast", "earlier"].some((name) => Object.hasOwn(definition, name)) ||
    Object.keys(definition).every((name) => name === "description");
  if (!isDetailed) return { schema: definition as JsonSchema };
  checkOptions(`event type "${type}"`, definition, detailRules);
  return definition;
}

/**
 * @param preset the registry's own mode
 * @throws {CadreError} INVALID_OPTION | INCOMPATIBLE_SCHEMA
 */
export function makeEntry(
  type: string,
  given: EventDefinitions[string],
  preset: CompatibilityMode,
): RegistryEntry {
  const definition = detailsOf(type, given);
  const { schema, description, compatibility = preset } = definition;
  const version = readVersion(type, "version", definition.version ?? "1.0.0");
  const upcasts = upcastSteps(type, version, definition.upcast ?? {});
  const earlier = earlierSchemas(type, version, definition);
  const steps = new Map(upcasts);
  for (const [from, older] of Object.entries(earlier)) {
    const past = { type, from, to: version, older, newer: jsonSchemaOf(schema) };
    const isRead = assertCompatible(past, compatibility, upcasts.has(from));
    if (isRead && !steps.has(from)) steps.set(from, { to: version, up: (payload) => payload });
  }
  const info: EventTypeInfo = {
    type,
    version,
    compatibility,
    readable: [...steps.keys(), version].sort(compareVersions),
    upcasts: [...upcasts.keys()].sort(compareVersions),
    earlier,
    ...(description === undefined ? {} : { description }),
    ...(schema === undefined || isStandardSchema(schema) ? {} : { schema }),
  };
  if (schema !== undefined && isStandardSchema(schema)) giveSchema(info, schema);
  const check = schema === undefined ? undefined : payloadCheck(type, schema);
  return { info: Object.freeze(info), version, check, steps };
}

/** A validator's JSON Schema is made when somebody looks at it: most programs never do. */
function giveSchema(info: EventTypeInfo, schema: NonNullable<EventDefinition["schema"]>): void {
  if (!isStandardSchema(schema) || schema["~standard"].jsonSchema === undefined) return;
  let made: { readonly schema: JsonSchema | undefined } | undefined;
  const get = (): JsonSchema | undefined => (made ??= { schema: jsonSchemaOf(schema) }).schema;
  Object.defineProperty(info, "schema", { get, enumerable: true });
}

function earlierSchemas(
  type: string,
  current: string,
  { earlier = {} }: EventDefinition,
): Readonly<Record<string, JsonSchema | undefined>> {
  const schemas: Record<string, JsonSchema | undefined> = {};
  for (const [version, schema] of Object.entries(earlier)) {
    const full = readVersion(type, "earlier", version);
    if (compareVersions(full, current) >= 0) {
      throw new CadreError(
        "INVALID_OPTION",
        `The earlier version ${version} of "${type}" is not before its current one, ${current}.`,
        { option: `${type}.earlier`, value: version },
      );
    }
    schemas[full] = jsonSchemaOf(schema);
  }
  return Object.freeze(schemas);
}

interface Past {
  readonly type: string;
  readonly from: string;
  readonly to: string;
  readonly older: JsonSchema | undefined;
  readonly newer: JsonSchema | undefined;
}

/** Whether payloads of the old version can be read as they are. */
function assertCompatible(past: Past, mode: CompatibilityMode, hasUpcaster: boolean): boolean {
  const backward = mode === "backward" || mode === "full";
  const forward = mode === "forward" || mode === "full";
  const findings: SchemaFinding[] = [];
  if (backward && !hasUpcaster)
    findings.push(...compareSchemas(past.older, past.newer, "backward"));
  if (forward) findings.push(...compareSchemas(past.older, past.newer, "forward"));
  if (findings.length === 0) return backward;
  const { type, from, to } = past;
  throw new CadreError(
    "INCOMPATIBLE_SCHEMA",
    `Version ${to} of "${type}" does not go with version ${from} (compatibility: "${mode}"): ` +
      `${findings.map(findingText).join("; ")}. Change it, give an upcaster, or ask for less.`,
    { type, from, to, findings },
  );
}
