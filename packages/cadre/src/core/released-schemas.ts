/** A registry against the schemas of an earlier release of the program. */
import type { JsonSchema } from "./event-definition.ts";
import { compareVersions } from "./payload-version.ts";
import type { EventRegistry, EventTypeInfo } from "./registry.ts";
import {
  compareSchemas,
  type CompatibilityMode,
  type SchemaChangeKind,
  type SchemaFinding,
} from "./schema-compatibility.ts";

/** One version of one type, as it was released. */
export interface ReleasedSchema {
  readonly type: string;
  readonly version: string;
  /** `null` where it has no JSON Schema. */
  readonly schema: JsonSchema | null;
}

/** What stands between a released schema and the registry. */
export interface ReleaseFinding extends Omit<SchemaFinding, "kind"> {
  readonly type: string;
  /** The released version. */
  readonly version: string;
  readonly kind: SchemaChangeKind | "type-removed" | "version-lowered" | "version-unreadable";
}

/** All versions that a registry knows the schemas of, and the current ones in any case. */
export function releasedSchemas(registry: Pick<EventRegistry, "list">): readonly ReleasedSchema[] {
  return registry.list().flatMap(({ type, version, schema, earlier }) => {
    const versions = { ...earlier, [version]: schema };
    return Object.entries(versions).map(([each, known]) => ({
      type,
      version: each,
      schema: (known as JsonSchema | undefined) ?? null,
    }));
  });
}

/**
 * What breaks for events of the released versions, and for readers of that release.
 *
 * @param mode in place of what the registry asks of each type
 */
export function checkRelease(
  registry: Pick<EventRegistry, "list">,
  released: readonly ReleasedSchema[],
  mode?: CompatibilityMode,
): readonly ReleaseFinding[] {
  const infos = new Map(registry.list().map((info) => [info.type, info]));
  return released.flatMap((each) => {
    const info = infos.get(each.type);
    if (!info) {
      const message = "The type is not in the registry any more: its events cannot be read.";
      return mode === "none" ? [] : [breaking(each, "type-removed", message)];
    }
    const asked = mode ?? info.compatibility;
    return asked === "none" ? [] : checkVersion(info, each, asked);
  });
}

function checkVersion(
  info: EventTypeInfo,
  released: ReleasedSchema,
  mode: CompatibilityMode,
): readonly ReleaseFinding[] {
  const { type, version } = released;
  if (compareVersions(version, info.version) > 0) {
    const message = `The registry is back at ${info.version}, and there are events of ${version}.`;
    return [breaking(released, "version-lowered", message)];
  }
  const older = released.schema ?? undefined;
  const newer = info.schema as JsonSchema | undefined; // a registry's schemas are JSON Schemas
  const backward = mode === "backward" || mode === "full";
  const forward = mode === "forward" || mode === "full";
  const found: ReleaseFinding[] = [];
  if (backward && !info.readable.includes(version)) {
    const message =
      "Events of this version cannot be read. Give an upcaster, or its schema as an earlier one.";
    found.push(breaking(released, "version-unreadable", message));
  } else if (backward && !info.upcasts.includes(version)) {
    found.push(
      ...compareSchemas(older, newer, "backward").map((each) => ({ ...each, type, version })),
    );
  }
  if (forward) {
    found.push(
      ...compareSchemas(older, newer, "forward").map((each) => ({ ...each, type, version })),
    );
  }
  return found;
}

function breaking(
  { type, version }: ReleasedSchema,
  kind: ReleaseFinding["kind"],
  message: string,
): ReleaseFinding {
  return { type, version, kind, direction: "backward", verdict: "breaking", path: "$", message };
}
