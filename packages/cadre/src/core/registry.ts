/**
 * The registry's port: which event types exist, what their payloads look like, and how an old
 * payload becomes a new one. `define-events.ts` makes one; the bus only sees this.
 */
import type { AgentEvent } from "./event.ts";
import type { EventMap } from "./event-types.ts";
import type { CompatibilityMode } from "./schema-compatibility.ts";

/** What the registry knows of one type. */
export interface EventTypeInfo {
  /** The type, or the topic pattern of a family of types (`task.assigned.*`). */
  readonly type: string;
  /** The current version of its payload. */
  readonly version: string;
  /** One line of meaning. */
  readonly description?: string;
  /** JSON Schema of the payload, where there is one, or the validator can give it. */
  readonly schema?: unknown;
  /** Versions that can be read: the current one and all from which upcasters lead to it. */
  readonly readable: readonly string[];
  /** Those of them that an upcaster brings up. */
  readonly upcasts: readonly string[];
  /** JSON Schemas of earlier versions, where they are known. */
  readonly earlier: Readonly<Record<string, unknown>>;
  /** What is asked of a new version. */
  readonly compatibility: CompatibilityMode;
}

export interface EventRegistry<Events extends object = EventMap> {
  /**
   * A closed registry refuses types that it doesn't know; an open one takes them with the base
   * schema (an object).
   */
  readonly closed: boolean;
  /** What is known of `type`; families are found by their pattern. */
  find(type: string): EventTypeInfo | undefined;
  list(): readonly EventTypeInfo[];
  /**
   * Checks a payload and returns it as its schema makes it (defaults filled in, where the validator
   * does that).
   * @throws {CadreError} UNKNOWN_TYPE | UNKNOWN_VERSION | INVALID_PAYLOAD
   */
  validate(type: string, payload: unknown, version?: string): unknown;
  /**
   * The event with its payload brought to the current version, step by step; the same object when
   * there is nothing to do.
   * @throws {CadreError} UNKNOWN_VERSION, when no upcaster leads on from its version, or it is
   * newer than known
   */
  upcast(event: AgentEvent): AgentEvent;
  /**
   * Only for inference; never set. It also lets a registry pass where any registry is taken.
   */
  readonly events?: { readonly [Type in keyof Events]-?: Events[Type] };
}

/**
 * The events of a registry, for helpers that take what it types: `Bus<EventsOf<typeof events>>`,
 * and `EventOf<EventsOf<typeof events>, "order.*">`.
 */
export type EventsOf<Registry> =
  Registry extends EventRegistry<infer Events extends object> ? Events : never;
