/** A commit to the store on its way into the log, checked against what is in it already. */
import type { Append, InboxMark, SlotWrite } from "../../core/commit.ts";
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CheckedCommit } from "../../store/check-commit.ts";
import { inboxConflict } from "../../store/conflict.ts";
import type { StoredEvent } from "../../store/event-store.ts";
import { sameEvent } from "../../store/same-event.ts";
import { encodeEvent, privateFlag, type EncodedEvent } from "./event-rows.ts";
import type { WriteRequest } from "./write-request.ts";

/** A commit whose events are encoded. */
export interface PreparedCommit {
  readonly appends: readonly {
    readonly append: Append;
    readonly events: readonly EncodedEvent[];
  }[];
  readonly outbox: readonly EncodedEvent[];
  readonly slots: readonly SlotWrite[];
  readonly inbox: readonly InboxMark[];
  readonly removals: readonly number[];
  /** All of them. */
  readonly events: readonly EncodedEvent[];
}

/**
 * @throws {CadreError} DUPLICATE_ID, when an id is in it twice; VERSION_CONFLICT, when a mark is
 */
export function prepareCommit(commit: CheckedCommit): PreparedCommit {
  const appends = commit.appends.map((append) => ({
    append,
    events: append.events.map(encodeEvent),
  }));
  const outbox = commit.outbox.map(encodeEvent);
  const events = [...appends.flatMap((append) => append.events), ...outbox];
  const seen = new Set<string>();
  for (const { event } of events) {
    if (seen.has(event.id)) throw duplicateId(event.id, undefined);
    seen.add(event.id);
  }
  const marks = new Set<string>();
  for (const mark of commit.inbox) {
    const name = JSON.stringify([mark.subscription, mark.eventId]);
    if (marks.has(name)) throw inboxConflict(mark);
    marks.add(name);
  }
  const { slots, inbox, removals } = commit;
  return { appends, outbox, slots, inbox, removals, events };
}

/** Which events of a commit are in the log, by id. */
export type KnownEvents = ReadonlyMap<string, StoredEvent>;

/** What of a commit is in the log already. */
export interface Known {
  readonly appends: ReadonlySet<Append>;
  readonly duplicate: boolean;
}

/**
 * @throws {CadreError} DUPLICATE_ID, when an event that is there is another, or when only a part of
 * an append is there
 */
export function compareKnown(commit: PreparedCommit, known: KnownEvents): Known {
  const there = new Set<Append>();
  let count = 0;
  for (const { append, events } of commit.appends) {
    const found = events.filter(({ event }) => holds(known, event, append.stream)).length;
    if (found === 0) continue;
    // A commit is all or nothing, so what is there in part is no repetition of an earlier one.
    if (found < events.length) throw duplicateId(events[0]!.event.id, append.stream);
    there.add(append);
    count += found;
  }
  count += commit.outbox.filter(({ event }) => holds(known, event, undefined)).length;
  const duplicate = commit.events.length > 0 && count === commit.events.length;
  return { appends: there, duplicate };
}

/** What is left to write. */
export function requestOf(
  commit: PreparedCommit,
  known?: KnownEvents,
  there?: Known,
): WriteRequest {
  const { slots, inbox, removals } = commit;
  const appends = commit.appends
    .filter(({ append }) => !there?.appends.has(append))
    .map(({ append, events }) => ({
      stream: append.stream,
      expectedVersion: append.expectedVersion,
      events,
      flags: append.private ? privateFlag : 0,
    }));
  const loose = known ? commit.outbox.filter(({ event }) => !known.has(event.id)) : commit.outbox;
  return { appends, loose, slots, inbox, removals };
}

function holds(known: KnownEvents, event: AgentEvent, stream: string | undefined): boolean {
  const stored = known.get(event.id);
  if (!stored) return false;
  if (stored.stream === stream && sameEvent(stored.event, event)) return true;
  throw duplicateId(event.id, stored.stream);
}

function duplicateId(id: string, stream: string | undefined): CadreError<"DUPLICATE_ID"> {
  const where = stream === undefined ? "the log or this commit" : `the stream "${stream}"`;
  return new CadreError(
    "DUPLICATE_ID",
    `The event ${id} is in ${where} already, and this commit is no repetition of that one. ` +
      "Give new events new ids.",
    { id },
  );
}
