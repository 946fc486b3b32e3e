import { CadreError } from "./errors.ts";
import { withMetadata, type AgentEvent } from "./event.ts";
import type { EventDefinitions, EventsDefinedBy } from "./event-definition.ts";
import type { EventMap } from "./event-types.ts";
import { toFrozenJson } from "./json.ts";
import { nearestName } from "./options.ts";
import { compilePattern, parsePattern } from "./pattern.ts";
import type { CheckResult } from "./payload-check.ts";
import type { EventRegistry, EventTypeInfo } from "./registry.ts";
import {
  isNewer,
  makeEntry,
  readableVersion,
  readMode,
  type RegistryEntry as Entry,
} from "./registry-entry.ts";
import type { CompatibilityMode } from "./schema-compatibility.ts";
import { climb } from "./upcasting.ts";

export interface RegistryOptions<Base extends object = EventMap, Closed extends boolean = boolean> {
  /**
   * Whether a type that is not in the registry is refused. An open registry takes it with any
   * object as its payload.
   * @default true
   */
  readonly closed?: Closed;
  /**
   * A registry whose types belong to this one too, `builtinEvents` for example; a type of the same
   * name replaces its one.
   */
  readonly extends?: EventRegistry<Base>;
  /**
   * What is asked of a new version of a type against its `earlier` ones: `backward`, it reads what
   * they wrote; `forward`, they read what it writes; `full`, both; `none`.
   * @default "backward"
   */
  readonly compatibility?: CompatibilityMode;
}

/**
 * Declares event types with their payloads.
 *
 *     const events = defineEvents({
 *       "order.placed": type<{ orderId: string }>(),
 *       "order.note.*": z.object({ text: z.string() }),
 *       "order.paid": { schema: { type: "object", required: ["amount"] }, version: "1.1.0" },
 *     });
 *
 * A key with `*` or `#` is a family of types. An exact key wins over families, and among families
 * the one with more plain words. A payload is checked once, when it is published, and again where
 * it arrives from another process: a schema that changes what it checks (defaults, transformations)
 * must leave its own result as it is.
 *
 * @throws {CadreError} INVALID_PATTERN, when a key is no topic and no pattern
 * @throws {CadreError} INVALID_OPTION, when a version is none or an upcaster leads nowhere
 * @throws {CadreError} INCOMPATIBLE_SCHEMA, when a version breaks with an earlier one in a way that
 *   its `compatibility` forbids
 */
export function defineEvents<
  const Definitions extends EventDefinitions,
  Base extends object = {},
  Closed extends boolean = true,
>(
  definitions: Definitions,
  options: RegistryOptions<Base, Closed> = {},
): EventRegistry<EventsDefinedBy<Definitions, Base, Closed>> {
  return new DefinedEvents(definitions, options);
}

interface Family {
  readonly matches: (type: string) => boolean;
  readonly plainWords: number;
  readonly entry: Entry;
}

const maxIssues = 20; // enough to mend a payload; the rest follows from the first ones
const maxResolved = 10_000; // types of families that are remembered; beyond it, they are found anew

class DefinedEvents implements EventRegistry {
  readonly closed: boolean;
  readonly #base: EventRegistry | undefined;
  readonly #own = new Map<string, Entry>();
  readonly #families: Family[] = [];
  /** Where a type that is no exact key of ours belongs. */
  readonly #resolved = new Map<string, Entry | "base" | "none">();

  constructor(definitions: EventDefinitions, options: RegistryOptions) {
    this.closed = options.closed ?? true;
    this.#base = options.extends;
    const compatibility = readMode("defineEvents", options.compatibility ?? "backward");
    for (const [type, definition] of Object.entries(definitions)) {
      const { literal, words } = parsePattern(type);
      const entry = makeEntry(type, definition, compatibility);
      this.#own.set(type, entry);
      if (literal) continue;
      const plainWords = words.filter((word) => word !== "*" && word !== "#").length;
      this.#families.push({ matches: compilePattern(type), plainWords, entry });
    }
    this.#families.sort((left, right) => right.plainWords - left.plainWords);
  }

  find(type: string): EventTypeInfo | undefined {
    const owner = this.#resolve(type);
    if (owner === "base") return this.#base?.find(type);
    return owner === "none" ? undefined : owner.info;
  }

  list(): readonly EventTypeInfo[] {
    const inherited = (this.#base?.list() ?? []).filter(({ type }) => !this.#own.has(type));
    return [...inherited, ...[...this.#own.values()].map(({ info }) => info)];
  }

  validate(type: string, payload: unknown, version?: string): unknown {
    const owner = this.#own.get(type) ?? this.#resolve(type);
    if (owner === "base") return this.#base!.validate(type, payload, version);
    if (owner === "none") return this.#validateUnknown(type, payload, version);
    if (version !== undefined && version !== owner.version) {
      const from = readableVersion(type, version, owner);
      if (from !== owner.version && !isNewer(from, owner)) {
        throw new CadreError(
          "UNKNOWN_VERSION",
          `"${type}" is published in version ${owner.version} only, not in ${version}.`,
          { type, version },
        );
      }
    }
    if (!owner.check) return payload;
    const result = owner.check(payload);
    return accepted(type, owner.version, result);
  }

  upcast(event: AgentEvent): AgentEvent {
    const owner = this.#own.get(event.type) ?? this.#resolve(event.type);
    if (owner === "base") return this.#base!.upcast(event);
    if (owner === "none" || event.metadata.version === owner.version) return event;
    const from = readableVersion(event.type, event.metadata.version, owner);
    if (from === owner.version || isNewer(from, owner)) return event;
    const payload = toFrozenJson(climb(event, from, owner.version, owner.steps));
    return withMetadata(Object.freeze({ ...event, payload }), { version: owner.version });
  }

  /**
   * A type that none of our exact keys is: exact in the base, then our families, then the base's.
   */
  #resolve(type: string): Entry | "base" | "none" {
    const known = this.#own.get(type) ?? this.#resolved.get(type);
    if (known) return known;
    const inBase = this.#base?.find(type);
    const family = this.#families.find(({ matches }) => matches(type));
    let owner: Entry | "base" | "none" = "none";
    if (inBase?.type === type) owner = "base";
    else if (family) owner = family.entry;
    else if (inBase) owner = "base";
    if (this.#resolved.size >= maxResolved) this.#resolved.clear();
    this.#resolved.set(type, owner);
    return owner;
  }

  #validateUnknown(type: string, payload: unknown, version = "1.0.0"): unknown {
    if (this.closed) {
      const closest = nearestName(
        type,
        this.list().map((info) => info.type),
      );
      const hint = closest === undefined ? "" : ` (closest: "${closest}")`;
      throw new CadreError(
        "UNKNOWN_TYPE",
        `Event type "${type}" is not in the registry. ` +
          `Declare it in defineEvents, or fix the name${hint}.`,
        closest === undefined ? { type } : { type, closest },
      );
    }
    if (typeof payload === "object" && payload !== null && !Array.isArray(payload)) return payload;
    return accepted(type, version, { issues: [{ path: "", message: "must be object" }] });
  }
}

function accepted(type: string, version: string, result: CheckResult): unknown {
  if (!result.issues) return result.payload;
  const issues = result.issues.slice(0, maxIssues);
  const shown = issues.map(({ path, message }) => (path === "" ? message : `${path} ${message}`));
  throw new CadreError(
    "INVALID_PAYLOAD",
    `The payload of "${type}" (version ${version}) does not fit its schema: ${shown.join("; ")}.`,
    { type, version, issues },
  );
}
