/**
 * Row projections: what follows from the log, in tables of the user's own database. The checkpoint
 * is a row beside them, written in the same transaction as the rows that an event changes.
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventMap } from "../core/event-types.ts";
import { checkOptions, anything, someFunction, someText, wholeNumber } from "../core/options.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { SqlClient } from "../core/sql.ts";
import type { StoredEvent } from "./event-store.ts";
import { checkIdentity, eventsWanted, reactionsByType } from "./projection.ts";

/** Writes what an event means, through `tx` alone. What it throws undoes all that it wrote. */
export type ApplyRows = (
  tx: SqlClient,
  event: AgentEvent,
  stored: StoredEvent,
) => Promise<unknown> | void;

/** One reaction for each type, or topic pattern, of events; the most exact one is used. */
export type ApplyRowsByType<Events extends object> = string extends keyof Events
  ? Readonly<Record<string, ApplyRows>>
  : {
      readonly [Type in keyof Events & string]?: (
        tx: SqlClient,
        event: AgentEvent<Type, Events[Type]>,
        stored: StoredEvent,
      ) => Promise<unknown> | void;
    };

export interface RowProjectionOptions<Events extends object = EventMap> {
  /** Names its checkpoint in the user's database. */
  readonly name: string;
  /**
   * Version of the rows: raising it builds them anew, in tables of their own, beside the old ones.
   * @default 1
   */
  readonly version?: number;
  /** Topic patterns of its events. @default the keys of `apply`, or all events */
  readonly patterns?: readonly string[];
  /** Brings old payloads to their current version, and `apply` infers the payloads from it. */
  readonly events?: EventRegistry<Events>;
  /** Only events of streams whose name starts with this. */
  readonly streamPrefix?: string;
  /**
   * Makes the tables of a version, with names of their own (`orders_v2`); in one transaction with
   * the first checkpoint. MySQL commits at each CREATE: write `IF NOT EXISTS` there.
   */
  readonly setup: (tx: SqlClient, version: number) => Promise<unknown> | void;
  readonly apply: ApplyRows | ApplyRowsByType<NoInfer<Events>>;
  /**
   * Shows readers the rows of `version`: replaces a view, for instance. Called once, when they have
   * caught up with the log, in the transaction that makes this version the active one.
   */
  readonly activate?: (
    tx: SqlClient,
    versions: { readonly version: number; readonly previous?: number },
  ) => Promise<unknown> | void;
  /** Drops the tables of a version. `rebuild` and `dropRetired` need it. */
  readonly drop?: (tx: SqlClient, version: number) => Promise<unknown> | void;
}

/** A row projection as declared. Nothing runs. */
export interface RowProjection {
  readonly name: string;
  readonly version: number;
  readonly patterns: readonly string[];
  readonly streamPrefix?: string;
  readonly events?: Pick<EventRegistry, "upcast">;
  readonly setup: RowProjectionOptions["setup"];
  readonly apply: ApplyRows;
  readonly activate?: RowProjectionOptions["activate"];
  readonly drop?: RowProjectionOptions["drop"];
  /** Whether it has anything to do with this event. */
  readonly wants: (stored: StoredEvent) => boolean;
}

/**
 * Declares a projection into rows of the user's own tables.
 *
 * @throws {CadreError} INVALID_OPTION | INVALID_PATTERN
 */
export function defineRowProjection<Events extends object = EventMap>(
  options: RowProjectionOptions<Events>,
): RowProjection {
  checkOptions("defineRowProjection", options, {
    name: someText,
    version: wholeNumber(1),
    patterns: { expected: "a list of topic patterns", accepts: Array.isArray },
    events: anything,
    streamPrefix: someText,
    setup: someFunction,
    apply: anything,
    activate: someFunction,
    drop: someFunction,
  });
  const { name, version = 1, streamPrefix, events, setup, activate, drop } = options;
  checkIdentity("defineRowProjection", name, version);
  if (setup === undefined || options.apply === undefined) {
    const option = setup === undefined ? "setup" : "apply";
    throw new CadreError("INVALID_OPTION", `defineRowProjection: give "${option}".`, { option });
  }
  const { patterns, apply } = reactionsOf(options);
  return Object.freeze({
    name,
    version,
    patterns,
    setup,
    apply,
    ...(streamPrefix === undefined ? {} : { streamPrefix }),
    ...(events === undefined ? {} : { events }),
    ...(activate === undefined ? {} : { activate }),
    ...(drop === undefined ? {} : { drop }),
    wants: eventsWanted(patterns, streamPrefix),
  });
}

function reactionsOf<Events extends object>(
  options: RowProjectionOptions<Events>,
): { readonly patterns: readonly string[]; readonly apply: ApplyRows } {
  const { apply, patterns } = options;
  if (typeof apply === "function") return { patterns: patterns ?? ["#"], apply };
  // Each entry gets the events that its own key stands for.
  const table = reactionsByType(apply as Readonly<Record<string, ApplyRows | undefined>>);
  return {
    patterns: patterns ?? table.patterns,
    apply: (tx, event, stored) => table.find(event.type)?.(tx, event, stored),
  };
}
