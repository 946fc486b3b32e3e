import { CadreError } from "../core/errors.ts";
import { compilePattern } from "../core/pattern.ts";
import type { EventStore, StoredEvent, StoreQuery } from "./event-store.ts";

const wholeNumbers = ["fromVersion", "after", "upTo", "limit"] as const;
const instants = ["since", "until"] as const;

/**
 * Refuses what no store could answer.
 *
 * @throws {CadreError} INVALID_OPTION, naming the condition; INVALID_PATTERN
 */
export function checkQuery(query: StoreQuery): void {
  for (const name of wholeNumbers) {
    const value = query[name];
    if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) continue;
    refuse(name, value, "must be a whole number from 0");
  }
  for (const name of instants) {
    const value = query[name];
    if (value === undefined || Number.isFinite(value)) continue;
    refuse(name, value, "must be an instant in Unix milliseconds");
  }
  if (query.fromVersion !== undefined && query.stream === undefined) {
    refuse("fromVersion", query.fromVersion, "counts versions of one stream: give `stream` too");
  }
  if (query.type !== undefined) compilePattern(query.type);
}

function refuse(option: string, value: unknown, why: string): never {
  throw new CadreError("INVALID_OPTION", `The query's ${option} ${why}.`, { option, value });
}

/** The conditions of a checked query as one predicate; `limit` and the order are the reader's. */
export function queryPredicate(query: StoreQuery): (stored: StoredEvent) => boolean {
  const tests: ((stored: StoredEvent) => boolean)[] = [];
  const { stream, streamPrefix, fromVersion, after, upTo, type, source } = query;
  const { correlationId, id, since, until } = query;
  if (after !== undefined) tests.push((stored) => stored.position > after);
  if (upTo !== undefined) tests.push((stored) => stored.position <= upTo);
  if (stream !== undefined) tests.push((stored) => stored.stream === stream);
  if (streamPrefix !== undefined) {
    tests.push((stored) => stored.stream?.startsWith(streamPrefix) ?? false);
  }
  if (fromVersion !== undefined) tests.push((stored) => (stored.version ?? 0) >= fromVersion);
  if (id !== undefined) tests.push(({ event }) => event.id === id);
  if (source !== undefined) tests.push(({ event }) => event.source === source);
  if (correlationId !== undefined) {
    tests.push(({ event }) => event.metadata.correlationId === correlationId);
  }
  if (since !== undefined) tests.push(({ event }) => event.timestamp >= since);
  if (until !== undefined) tests.push(({ event }) => event.timestamp < until);
  if (type !== undefined) {
    const matches = compilePattern(type);
    tests.push(({ event }) => matches(event.type));
  }
  return (stored) => tests.every((test) => test(stored));
}

/** {@link EventStore.readRows}, where `read` gives the same too. */
export function readRows(store: EventStore, query: StoreQuery): AsyncIterable<StoredEvent> {
  return store.readRows ? store.readRows(query) : store.read(query);
}
