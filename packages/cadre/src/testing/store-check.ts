/**
 * One check of the store suite: what an event store must show. It runs on an empty store of its own
 * and fails by throwing.
 */
import assert from "node:assert/strict";
import type { Commit } from "../core/commit.ts";
import { isCadreError, type ErrorCode } from "../core/errors.ts";
import type { AgentEvent, EventOptions } from "../core/event.ts";
import type { Random } from "../core/random.ts";
import type { EventStore, StoredEvent, StoreQuery } from "../store/event-store.ts";

export interface StoreCheck {
  readonly id: `S-${number}`;
  /** A fact in the present tense. */
  readonly name: string;
  /** What the caller of the suite must be able to do for it. */
  readonly needs?: "reopen" | "peer";
  readonly run: (context: StoreCheckContext) => Promise<void>;
}

export interface StoreCheckContext {
  /** Empty at the start. */
  readonly store: EventStore;
  /** Drawn once a run, printed when the check fails, taken back from `CADRE_SEED`. */
  readonly random: Random;
  /** Closes a store, also as a crash would, and opens it again with what it has on disk. */
  readonly reopen: (store: EventStore) => Promise<EventStore>;
  /**
   * Another connection to `store`'s log, as a second process has one; the store itself where that
   * cannot be.
   */
  readonly peer: (store: EventStore) => Promise<EventStore>;
  /** A finished event with a new id. */
  readonly event: (
    type?: string,
    payload?: unknown,
    options?: EventOptions & { source?: string },
  ) => AgentEvent;
  /** Waits until `predicate` holds, and fails the check if it doesn't within the bound. */
  readonly until: (predicate: () => unknown, what: string) => Promise<void>;
}

/** All that a query answers. */
export async function readAll(store: EventStore, query?: StoreQuery): Promise<StoredEvent[]> {
  const found: StoredEvent[] = [];
  for await (const stored of store.read(query)) found.push(stored);
  return found;
}

/** A commit that appends `events` to one stream. */
export function appendTo(
  stream: string,
  expectedVersion: number | "any",
  ...events: readonly AgentEvent[]
): Commit {
  return { appends: [{ stream, expectedVersion, events }] };
}

/** Fails unless the promise rejects with a CadreError of this code; returns its details. */
export async function refuses(
  code: ErrorCode,
  what: string,
  attempt: Promise<unknown>,
): Promise<unknown> {
  try {
    await attempt;
  } catch (error) {
    if (isCadreError(error, code)) return error.details;
    throw new assert.AssertionError({
      message: `${what}: expected ${code}, got ${String(error)}`,
      actual: error,
      expected: code,
    });
  }
  assert.fail(`${what}: expected ${code}, but it was accepted`);
}

/** Everything that a store shows of itself, to find out whether something was written after all. */
export async function contents(store: EventStore): Promise<unknown> {
  return {
    events: await readAll(store),
    head: await store.head(),
    slots: await store.slots(""),
  };
}
