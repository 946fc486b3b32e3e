/** What a commit to the store writes, checked against the log before anything is written. */
import type { Append, InboxMark, SlotWrite } from "../../core/commit.ts";
import type { CheckedCommit } from "../../store/check-commit.ts";
import { inboxConflict, versionConflict } from "../../store/conflict.ts";
import type { CommitResult } from "../../store/event-store.ts";
import type { Cell } from "./connection.ts";
import { encodeEvent, packId, privateFlag, type EncodedEvent } from "./event-rows.ts";
import { duplicateId, type LogTransaction } from "./log-transaction.ts";

/** A commit whose events are encoded, ready for a transaction. */
export interface PreparedCommit {
  readonly appends: readonly {
    readonly append: Append;
    readonly events: readonly EncodedEvent[];
  }[];
  readonly outbox: readonly EncodedEvent[];
  readonly slots: readonly SlotWrite[];
  readonly inbox: readonly InboxMark[];
  readonly removals: readonly number[];
  readonly events: readonly EncodedEvent[];
}

export function prepareCommit(commit: CheckedCommit): PreparedCommit {
  const appends = commit.appends.map((append) => ({
    append,
    events: append.events.map(encodeEvent),
  }));
  const outbox = commit.outbox.map(encodeEvent);
  const events = [...appends.flatMap((append) => append.events), ...outbox];
  const { slots, inbox, removals } = commit;
  return { appends, outbox, slots, inbox, removals, events };
}

/** What is known about a commit once its checks have passed. */
interface CommitPlan {
  readonly known: ReadonlySet<Append>;
  readonly duplicate: boolean;
  readonly slots: ReadonlyMap<string, { readonly value: string | undefined; version: number }>;
}

/**
 * Checks a commit. Nothing is written.
 * @throws {CadreError} DUPLICATE_ID | VERSION_CONFLICT
 */
export function planCommit(commit: PreparedCommit, transaction: LogTransaction): CommitPlan {
  const { known, duplicate } = knownAppends(commit, transaction);
  if (duplicate) return { known, duplicate, slots: new Map() };
  const reached = new Map<string, number>();
  for (const { append, events } of commit.appends) {
    if (known.has(append)) continue;
    const { stream, expectedVersion } = append;
    const version = reached.get(stream) ?? transaction.version(stream);
    if (expectedVersion !== "any" && expectedVersion !== version) {
      throw versionConflict(stream, expectedVersion, version);
    }
    reached.set(stream, version + events.length);
  }
  const slots = planSlots(commit.slots, transaction);
  checkInbox(commit.inbox, transaction);
  return { known, duplicate, slots };
}

/** Writes a commit that was planned in the same transaction. */
export function writeCommit(
  commit: PreparedCommit,
  plan: CommitPlan,
  transaction: LogTransaction,
): CommitResult {
  const versions: number[] = [];
  if (!plan.duplicate) transaction.remove(commit.removals);
  for (const { append, events } of commit.appends) {
    if (!plan.duplicate && !plan.known.has(append)) {
      const flags = append.private ? privateFlag : 0;
      for (const event of events) transaction.append(event, append.stream, flags);
      versions.push(transaction.version(append.stream));
    } else {
      const last = events.at(-1);
      const version = last && transaction.known(last.event.id)?.version;
      versions.push(version ?? transaction.version(append.stream));
    }
  }
  if (!plan.duplicate) {
    for (const event of commit.outbox) {
      if (!transaction.known(event.event.id)) transaction.append(event, undefined, 0);
    }
    writeSlots(plan.slots, transaction);
    for (const { subscription, eventId } of commit.inbox) {
      transaction.connection
        .sql("INSERT INTO inbox (subscription, event, marked_at) VALUES (?, ?, ?)")
        .run(subscription, packId(eventId), transaction.now);
    }
  }
  return { position: transaction.head, versions, duplicate: plan.duplicate };
}

function knownAppends(
  commit: PreparedCommit,
  transaction: LogTransaction,
): Pick<CommitPlan, "known" | "duplicate"> {
  const seen = new Set<string>();
  for (const { event } of commit.events) {
    if (seen.has(event.id)) throw duplicateId(event.id, transaction.known(event.id)?.stream);
    seen.add(event.id);
  }
  const known = new Set<Append>();
  let count = 0;
  for (const { append, events } of commit.appends) {
    const there = events.filter(({ event }) => transaction.holds(event, append.stream)).length;
    if (there === 0) continue;
    // A commit is all or nothing, so what is there in part is no repetition of an earlier one.
    if (there < events.length) throw duplicateId(events[0]!.event.id, append.stream);
    known.add(append);
    count += there;
  }
  count += commit.outbox.filter(({ event }) => transaction.holds(event, undefined)).length;
  return { known, duplicate: seen.size > 0 && count === seen.size };
}

function planSlots(writes: readonly SlotWrite[], transaction: LogTransaction): CommitPlan["slots"] {
  const planned = new Map<string, { readonly value: string | undefined; version: number }>();
  for (const { name, expectedVersion, value } of writes) {
    const version = planned.get(name)?.version ?? readSlotVersion(name, transaction);
    if (expectedVersion !== "any" && expectedVersion !== version) {
      throw versionConflict(name, expectedVersion, version);
    }
    planned.set(name, { value, version: value === undefined ? 0 : version + 1 });
  }
  return planned;
}

function readSlotVersion(name: string, transaction: LogTransaction): number {
  const cell: Cell | undefined = transaction.connection
    .sql("SELECT version FROM slots WHERE name = ?")
    .get(name)?.[0];
  return Number(cell ?? 0);
}

function writeSlots(slots: CommitPlan["slots"], transaction: LogTransaction): void {
  const { connection } = transaction;
  if (slots.size > 0) transaction.isNews = true;
  for (const [name, { value, version }] of slots) {
    if (value === undefined) connection.sql("DELETE FROM slots WHERE name = ?").run(name);
    else {
      connection
        .sql("INSERT OR REPLACE INTO slots (name, version, value) VALUES (?, ?, ?)")
        .run(name, version, value);
    }
  }
}

function checkInbox(marks: readonly InboxMark[], { connection }: LogTransaction): void {
  const seen = new Set<string>();
  for (const mark of marks) {
    const { subscription, eventId } = mark;
    const name = JSON.stringify([subscription, eventId]);
    const there =
      seen.has(name) ||
      connection
        .sql("SELECT 1 FROM inbox WHERE subscription = ? AND event = ?")
        .get(subscription, packId(eventId));
    if (there) throw inboxConflict(mark);
    seen.add(name);
  }
}
