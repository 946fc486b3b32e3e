/**
 * The reference driver of the store's port: the specification in code. It keeps everything in this
 * process and ends with it.
 *
 *   commit ─▶ check ─▶ all there already? ─▶ duplicate
 *                          │ no
 *                          ▼
 *                       plan: versions, slots, marks (may refuse) ─▶ write (cannot fail) ─▶ wake
 *
 * A commit is planned and written in one turn of the loop: no other commit comes between.
 */
import { systemClock, type Clock } from "../core/clock.ts";
import type { Append, Commit, InboxMark, SlotWrite } from "../core/commit.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { utf8Bytes } from "../core/json.ts";
import { checkOptions, someObject, someText, wholeNumber } from "../core/options.ts";
import { checkCommit, type CheckedCommit } from "./check-commit.ts";
import { inboxConflict, versionConflict } from "./conflict.ts";
import type { CommitResult, EventStore, LogPosition, Slot, StoredEvent } from "./event-store.ts";
import type { Hold, InspectedRow, LogRange, StoreQuery, StoreUsage } from "./event-store.ts";
import { MemoryLog } from "./memory-log.ts";
import { RestorePlan } from "./restore-plan.ts";
import { checkRow } from "./row-line.ts";
import { checkQuery } from "./store-query.ts";
import { byBytes } from "./type-usage.ts";
import { Watchers } from "./watchers.ts";

export interface MemoryStoreOptions {
  /** @default "memory" */
  readonly name?: string;
  /** Gives `recordedAt` and the age of inbox marks. @default the machine's clock */
  readonly clock?: Clock;
  /** Events that a reader is given without letting timers and I/O run. @default 512 */
  readonly pageSize?: number;
}

/** An event store in this process's memory. Everything in it is gone when the process ends. */
export function memoryStore(options: MemoryStoreOptions = {}): EventStore {
  checkOptions("memoryStore", options, {
    name: someText,
    clock: someObject,
    pageSize: wholeNumber(1),
  });
  return new MemoryStore(
    options.name ?? "memory",
    options.clock ?? systemClock,
    options.pageSize ?? 512,
  );
}

/** One event of a commit that is not in the log yet. */
interface PlannedEvent {
  readonly event: AgentEvent;
  readonly stream?: string;
  readonly version?: number;
  readonly private?: boolean;
}

interface Plan {
  readonly events: readonly PlannedEvent[];
  readonly versions: readonly number[];
}

class MemoryStore implements EventStore {
  readonly name: string;
  readonly log: object = this;
  readonly #clock: Clock;
  readonly #pageSize: number;
  readonly #log = new MemoryLog();
  readonly #slots = new Map<string, Slot>();
  /** By subscription and event id: when it was marked. */
  readonly #inbox = new Map<string, Map<string, number>>();
  readonly #watchers = new Watchers();
  #closed = false;

  constructor(name: string, clock: Clock, pageSize: number) {
    this.name = name;
    this.#clock = clock;
    this.#pageSize = pageSize;
  }

  async commit(commit: Commit): Promise<CommitResult> {
    this.#assertOpen();
    const checked = checkCommit(commit);
    const known = this.#knownAppends(checked);
    if (known.duplicate) {
      const versions = checked.appends.map((append) => this.#lastVersion(append));
      return { position: this.#log.head, versions, duplicate: true };
    }
    const plan = this.#plan(checked, known.appends);
    const slots = this.#planSlots(checked.slots);
    this.#checkInbox(checked.inbox);
    this.#log.remove(checked.removals);
    this.#write(plan.events, slots, checked.inbox);
    return { position: this.#log.head, versions: plan.versions, duplicate: false };
  }

  async *read(query: StoreQuery = {}): AsyncIterable<StoredEvent> {
    checkQuery(query);
    const cursor = this.#log.cursor(query);
    let left = query.limit ?? Infinity;
    while (left > 0) {
      this.#assertOpen();
      const page = cursor.next(Math.min(this.#pageSize, left));
      yield* page.events;
      left -= page.events.length;
      if (page.last) return;
      await this.#clock.yield();
    }
  }

  async version(stream: string): Promise<number> {
    this.#assertOpen();
    return this.#log.version(stream);
  }

  async head(): Promise<LogPosition> {
    this.#assertOpen();
    return this.#log.head;
  }

  watch(wake: () => void): () => void {
    this.#assertOpen();
    return this.#watchers.add(wake);
  }

  async slot(name: string): Promise<Slot | undefined> {
    this.#assertOpen();
    return this.#slots.get(name);
  }

  async slots(prefix: string): Promise<readonly (Slot & { readonly name: string })[]> {
    this.#assertOpen();
    return [...this.#slots]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, slot]) => ({ name, ...slot }))
      .toSorted((left, right) => (left.name < right.name ? -1 : 1));
  }

  async marked(marks: readonly InboxMark[]): Promise<readonly InboxMark[]> {
    this.#assertOpen();
    return marks.filter((mark) => this.#isMarked(mark));
  }

  async pruneInbox(olderThanMs: number): Promise<number> {
    this.#assertOpen();
    const before = this.#clock.now() - olderThanMs;
    let dropped = 0;
    for (const [subscription, marks] of this.#inbox) {
      for (const [eventId, markedAt] of marks) {
        if (markedAt < before && marks.delete(eventId)) dropped += 1;
      }
      if (marks.size === 0) this.#inbox.delete(subscription);
    }
    return dropped;
  }

  async *inspect(range: LogRange = {}): AsyncIterable<InspectedRow> {
    for await (const stored of this.read(range)) yield { position: stored.position, stored };
  }

  async restore(rows: readonly StoredEvent[]): Promise<number> {
    this.#assertOpen();
    const checked = rows.map(checkRow);
    const plan = new RestorePlan(this.#log.head, this.#log.recordedAt);
    const fresh = checked.filter((row) => {
      const there = this.#log.byId(row.event.id);
      return plan.isNew(row, there, () => this.#log.version(row.stream ?? ""));
    });
    for (const row of fresh) this.#log.put(row);
    if (fresh.length > 0) this.#watchers.wake();
    return fresh.length;
  }

  async holds(): Promise<readonly Hold[]> {
    this.#assertOpen();
    return [];
  }

  async usage(options: { readonly byType?: boolean } = {}): Promise<StoreUsage> {
    this.#assertOpen();
    const { head, size, streams } = this.#log;
    const usage = { head, events: size, streams, slots: this.#slots.size };
    if (!options.byType) return usage;
    const types = new Map<string, { events: number; payloadBytes: number }>();
    for await (const { event } of this.read()) {
      const { events = 0, payloadBytes = 0 } = types.get(event.type) ?? {};
      const bytes = utf8Bytes(JSON.stringify(event.payload));
      types.set(event.type, { events: events + 1, payloadBytes: payloadBytes + bytes });
    }
    return { ...usage, types: byBytes(types) };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watchers.clear();
  }

  #assertOpen(): void {
    if (!this.#closed) return;
    throw new CadreError("CLOSED", `The store "${this.name}" is closed.`, { what: this.name });
  }

  /** Which appends are in the log already, whole; and whether the commit as a whole is. */
  #knownAppends({ appends, outbox }: CheckedCommit): {
    appends: ReadonlySet<Append>;
    duplicate: boolean;
  } {
    const ids = [...appends.flatMap((append) => append.events), ...outbox].map(({ id }) => id);
    const repeated = ids.length === new Set(ids).size ? undefined : firstRepeated(ids);
    if (repeated !== undefined) throw this.#log.duplicateId(repeated);
    const known = new Set<Append>();
    let count = 0;
    for (const append of appends) {
      const there = append.events.filter((event) => this.#log.holds(event, append.stream)).length;
      count += there;
      if (there === 0) continue;
      // A commit is all or nothing, so what is there in part is no repetition of an earlier one.
      if (there < append.events.length) throw this.#log.duplicateId(append.events[0]!.id);
      known.add(append);
    }
    count += outbox.filter((event) => this.#log.holds(event, undefined)).length;
    return { appends: known, duplicate: ids.length > 0 && count === ids.length };
  }

  #lastVersion(append: Append): number {
    const last = append.events.at(-1);
    return last ? (this.#log.byId(last.id)?.version ?? 0) : this.#log.version(append.stream);
  }

  #plan(commit: CheckedCommit, known: ReadonlySet<Append>): Plan {
    const events: PlannedEvent[] = [];
    const versions: number[] = [];
    const reached = new Map<string, number>();
    for (const append of commit.appends) {
      const { stream, expectedVersion } = append;
      if (known.has(append)) {
        versions.push(this.#lastVersion(append));
        continue;
      }
      let version = reached.get(stream) ?? this.#log.version(stream);
      if (expectedVersion !== "any" && expectedVersion !== version) {
        throw versionConflict(stream, expectedVersion, version);
      }
      const kept = append.private ? { private: true } : {};
      for (const event of append.events) {
        version += 1;
        events.push({ event, stream, version, ...kept });
      }
      reached.set(stream, version);
      versions.push(version);
    }
    const fresh = commit.outbox.filter((event) => !this.#log.holds(event, undefined));
    return { events: [...events, ...fresh.map((event) => ({ event }))], versions };
  }

  /** The slots as they will be; `undefined` for one that will be gone. */
  #planSlots(writes: readonly SlotWrite[]): ReadonlyMap<string, Slot | undefined> {
    const planned = new Map<string, Slot | undefined>();
    for (const { name, expectedVersion, value } of writes) {
      const slot = planned.has(name) ? planned.get(name) : this.#slots.get(name);
      const version = slot?.version ?? 0;
      if (expectedVersion !== "any" && expectedVersion !== version) {
        throw versionConflict(name, expectedVersion, version);
      }
      planned.set(
        name,
        value === undefined ? undefined : Object.freeze({ value, version: version + 1 }),
      );
    }
    return planned;
  }

  #checkInbox(marks: readonly InboxMark[]): void {
    const seen = new Set<string>();
    for (const mark of marks) {
      const key = JSON.stringify([mark.subscription, mark.eventId]);
      if (seen.has(key) || this.#isMarked(mark)) throw inboxConflict(mark);
      seen.add(key);
    }
  }

  #isMarked({ subscription, eventId }: InboxMark): boolean {
    return this.#inbox.get(subscription)?.has(eventId) ?? false;
  }

  #write(
    events: readonly PlannedEvent[],
    slots: ReadonlyMap<string, Slot | undefined>,
    inbox: readonly InboxMark[],
  ): void {
    const now = this.#clock.now();
    for (const planned of events) this.#log.push(planned, now);
    for (const [name, slot] of slots) {
      if (slot) this.#slots.set(name, slot);
      else this.#slots.delete(name);
    }
    for (const { subscription, eventId } of inbox) {
      const marks = this.#inbox.get(subscription) ?? new Map<string, number>();
      this.#inbox.set(subscription, marks.set(eventId, now));
    }
    if (events.length + slots.size + inbox.length > 0) this.#watchers.wake();
  }
}

function firstRepeated(ids: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return ids.find((id) => seen.size === seen.add(id).size);
}
