/** The border of every store: what is refused before anything is read or written. */
import type { Append, Commit, InboxMark, SlotWrite } from "../core/commit.ts";
import { CadreError } from "../core/errors.ts";
import { checkMetadata, type AgentEvent } from "../core/event.ts";
import { toFrozenJson } from "../core/json.ts";
import { assertTopic } from "../core/topic.ts";

// characters of a stream's or slot's name: long enough for a path of ids, short enough for an index
const maxNameLength = 256;
/** Rows that one commit removes at most: a transaction of some milliseconds. */
export const maxRemovals = 1_000;

/** A commit with nothing optional, whose events share nothing with what the caller holds. */
export interface CheckedCommit {
  readonly appends: readonly Append[];
  readonly slots: readonly SlotWrite[];
  readonly inbox: readonly InboxMark[];
  readonly outbox: readonly AgentEvent[];
  readonly removals: readonly number[];
}

/**
 * Checks a commit and copies its events, so that nobody can change them afterwards.
 *
 * @throws {CadreError} INVALID_OPTION, when a name or an expected version is impossible
 * @throws {CadreError} INVALID_EVENT | INVALID_TOPIC | NOT_JSON, when an event is not well formed
 */
export function checkCommit(commit: Commit): CheckedCommit {
  const appends = (commit.appends ?? []).map((append, index): Append => {
    const path = `appends[${index}]`;
    checkName(append.stream, `${path}.stream`);
    checkVersion(append.expectedVersion, `${path}.expectedVersion`);
    return { ...append, events: append.events.map(checkEvent) };
  });
  const slots = (commit.slots ?? []).map((slot, index): SlotWrite => {
    const path = `slots[${index}]`;
    checkName(slot.name, `${path}.name`);
    checkVersion(slot.expectedVersion, `${path}.expectedVersion`);
    if (slot.value !== undefined && typeof slot.value !== "string") {
      refuse(`${path}.value`, slot.value, "a string, or undefined to delete the slot");
    }
    return { ...slot };
  });
  for (const [index, mark] of (commit.inbox ?? []).entries()) {
    checkName(mark.subscription, `inbox[${index}].subscription`);
    checkName(mark.eventId, `inbox[${index}].eventId`);
  }
  const outbox = (commit.outbox ?? []).map(checkEvent);
  const removals = [...(commit.removals ?? [])];
  checkRemovals(
    removals,
    outbox.length + appends.reduce((sum, { events }) => sum + events.length, 0),
  );
  return { appends, slots, inbox: [...(commit.inbox ?? [])], outbox, removals };
}

function checkRemovals(removals: readonly number[], events: number): void {
  if (removals.length === 0) return;
  if (removals.length > maxRemovals) {
    refuse("removals", removals.length, `at most ${maxRemovals} positions`);
  }
  for (const [index, position] of removals.entries()) {
    if (Number.isSafeInteger(position) && position > 0) continue;
    refuse(`removals[${index}]`, position, "a position of the log");
  }
  // Behind the record, the log's end cannot go back to a position that was used before.
  if (events === 0) refuse("removals", removals.length, "in a commit that writes their record");
}

function checkName(name: unknown, option: string): void {
  if (typeof name === "string" && name !== "" && name.length <= maxNameLength) return;
  refuse(option, name, `a name of 1 to ${maxNameLength} characters`);
}

function checkVersion(version: unknown, option: string): void {
  if (version === "any" || (Number.isSafeInteger(version) && (version as number) >= 0)) return;
  refuse(option, version, 'a whole number from 0, or "any"');
}

function refuse(option: string, value: unknown, allowed: string): never {
  throw new CadreError("INVALID_OPTION", `commit.${option} must be ${allowed}.`, { option, value });
}

/** A frozen copy of `event`, or the error that says what is wrong with it. */
export function checkEvent(event: AgentEvent): AgentEvent {
  for (const field of ["id", "source"] as const) {
    if (typeof event[field] !== "string" || event[field] === "") invalid(field, event[field]);
  }
  if (event.id.length > maxNameLength) invalid("id", event.id);
  assertTopic(event.type);
  if (!Number.isFinite(event.timestamp)) invalid("timestamp", event.timestamp);
  if (typeof event.metadata !== "object" || event.metadata === null) {
    invalid("metadata", event.metadata);
  }
  for (const field of ["version", "correlationId"] as const) {
    if (event.metadata[field] === undefined) invalid(`metadata.${field}`, undefined);
  }
  checkMetadata({ ...event.metadata });
  return Object.freeze({
    id: event.id,
    type: event.type,
    source: event.source,
    timestamp: event.timestamp,
    payload: toFrozenJson(event.payload),
    metadata: toFrozenJson(event.metadata) as unknown as AgentEvent["metadata"], // checked above
  });
}

function invalid(field: string, value: unknown): never {
  throw new CadreError(
    "INVALID_EVENT",
    `The event's ${field} is ${JSON.stringify(value) ?? String(value)}, which no event can have.`,
    { field, value },
  );
}
