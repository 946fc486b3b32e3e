/**
 * Whether payloads of one version of a schema can be read with another.
 *
 *   backward   the new version reads what the old one wrote:  old ⊆ new
 *   forward    the old version reads what the new one writes: new ⊆ old
 *   full       both
 *
 * A writer writes the properties that its schema names, and others only where it says
 * `additionalProperties`. That is how events are written, and so a new optional property breaks
 * nothing. What cannot be decided is said to be undecided, and never passed over.
 */
import type { JsonSchema } from "./event-definition.ts";
import { subsetFindings } from "./schema-subset.ts";

export type CompatibilityMode = "backward" | "forward" | "full" | "none";

export const compatibilityModes: readonly CompatibilityMode[] = [
  "backward",
  "forward",
  "full",
  "none",
];

/** What kind of change it is, from the older schema to the newer one. */
export type SchemaChangeKind =
  | "additional-properties-narrowed"
  | "additional-properties-widened"
  | "alternatives-changed"
  | "bound-loosened"
  | "bound-tightened"
  | "enum-added"
  | "enum-narrowed"
  | "enum-removed"
  | "enum-widened"
  | "keyword-changed"
  | "no-schema"
  | "pattern-added"
  | "pattern-changed"
  | "pattern-removed"
  | "property-added"
  | "property-removed"
  | "reference-unresolved"
  | "required-added"
  | "required-removed"
  | "type-changed"
  | "type-narrowed"
  | "type-widened";

export interface SchemaFinding {
  readonly kind: SchemaChangeKind;
  /** Which way it breaks. */
  readonly direction: "backward" | "forward";
  /** `undecided`: it may break, and no rule here can tell. */
  readonly verdict: "breaking" | "undecided";
  /** JSONPath into the payload: `$.items[*].price`. */
  readonly path: string;
  /** The keyword of the schema that says so. */
  readonly keyword?: string;
  readonly message: string;
}

/**
 * What stands against reading the one version with the other. Nothing: they are compatible.
 *
 * @param older `undefined` where there is no JSON Schema: undecided
 */
export function compareSchemas(
  older: JsonSchema | undefined,
  newer: JsonSchema | undefined,
  mode: CompatibilityMode,
): readonly SchemaFinding[] {
  const directions = (["backward", "forward"] as const).filter(
    (direction) => mode === "full" || mode === direction,
  );
  return directions.flatMap((direction): readonly SchemaFinding[] => {
    if (older && newer) {
      return direction === "backward"
        ? subsetFindings(older, newer, direction)
        : subsetFindings(newer, older, direction);
    }
    const which = older ? "newer" : "older";
    const message = `The ${which} version has no JSON Schema, so nobody can tell.`;
    return [{ kind: "no-schema", direction, verdict: "undecided", path: "$", message }];
  });
}

/** One line: `backward: $.amount required-added: …`. */
export function findingText({ kind, direction, verdict, path, message }: SchemaFinding): string {
  const how = verdict === "breaking" ? direction : `${direction}, undecided`;
  return `${how}: ${path} ${kind}: ${message}`;
}
