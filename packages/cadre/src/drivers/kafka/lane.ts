/**
 * One partition in the hands of its owner: what was read, what is out, what is settled.
 *
 *   committed        settled beyond it         read, not settled          to be read
 *   ────────── base ──▪──▪▪────▪──────────────────────────────────── next ───────────
 *
 *   waiting ──hand out──▶ out ──settle──▶ done; when all before it are done too, `base` moves on
 *      ▲                   ├──retry, release, ran out──▶ waiting
 *      └─── due ── delayed ◀─ retry with a delay, where order is kept; a copy before its time
 */
import type { OnRetry } from "../../bus/transport.ts";
import type { Fetched, Partition, Wanted } from "./log-access.ts";
import { decodeMarks, encodeMarks, windowSize } from "./marks.ts";
import { compareRecords, headerOf, toRead, type KafkaFormat, type Read } from "./wire.ts";

export interface Entry {
  readonly lane: Lane;
  readonly read: Read;
  /** The attempt of its first delivery. */
  readonly first: number;
  /** A copy that was directed here, and is no retry. */
  readonly isRedriven: boolean;
  state: "waiting" | "out" | "delayed" | "done";
  /** How often it was handed out. */
  handed: number;
  cancelTimer?: () => void;
}

export interface LaneParts extends Partition {
  /** The committed offset. */
  readonly base: number;
  readonly marks: string | null | undefined;
  readonly format: KafkaFormat;
  readonly ordered: OnRetry | undefined;
  /** Whether a record is for this group, and matches. */
  isOurs(read: Read): boolean;
  /** Milliseconds that a copy has still to wait. */
  dueIn(read: Read): number;
  /** Runs once, later. */
  after(delayMs: number, action: () => void): () => void;
  /** An entry waits that did not. */
  onWaiting(): void;
}

const noEntries: readonly Entry[] = [];
const mostRead = 1_000; // entries that wait; then nothing more is asked for
const mostReadBytes = 8_388_608;

export class Lane {
  readonly topic: string;
  readonly partition: number;
  readonly #parts: LaneParts;
  readonly #done: Set<number>;
  readonly #attempts: Map<number, number>;
  readonly #entries = new Map<number, Entry>();
  /** What the log had dropped before it was read; too much to mark one by one. */
  #gaps: { readonly from: number; readonly to: number }[] = [];
  /** By offset. */
  #waiting: Entry[] = [];
  #bytes = 0;
  #base: number;
  #next: number;
  #version = 0;
  #kept = 0;
  /** Deliveries that are out, and settlements that are not committed. */
  held = 0;
  /** Nothing new is handed out: the partition may go to another member. */
  isStill = false;
  /** Something of it was handled here, and nobody died of it. */
  isProven = false;
  /** The group was told that it may go, and has not said where. */
  isOffered = false;
  /** Behind what was there when it began. */
  #backlogEnd: number | undefined;
  isEnded = false;

  constructor(parts: LaneParts) {
    this.#parts = parts;
    this.topic = parts.topic;
    this.partition = parts.partition;
    const marks = decodeMarks(parts.base, parts.marks);
    this.#done = new Set(marks.done);
    this.#attempts = new Map(marks.attempts);
    this.#base = parts.base;
    this.#next = parts.base;
  }

  get base(): number {
    return this.#base;
  }

  /** Whether some of what was there at the beginning may have to come before anything else. */
  get isBehind(): boolean {
    if (this.#backlogEnd === undefined) return !this.isStill;
    return this.#next < this.#backlogEnd && this.#waiting.length === 0 && this.isOpen;
  }

  get marks(): string {
    return encodeMarks(this.#base, { done: this.#done, attempts: this.#attempts });
  }

  /** Counts changes; what is committed as of it is `kept`. */
  get version(): number {
    return this.#version;
  }

  get isDirty(): boolean {
    return this.#kept < this.#version;
  }

  kept(version: number): void {
    this.#kept = Math.max(this.#kept, version);
  }

  isKept(version: number): boolean {
    return this.#kept >= version;
  }

  /** Whether more may be asked for: not while enough is here, or a stuck one holds the window. */
  get isOpen(): boolean {
    if (this.isEnded || this.isStill || this.isFull) return false;
    return this.#waiting.length < mostRead && this.#bytes < mostReadBytes;
  }

  /** What to ask for next. */
  get wanted(): Wanted | undefined {
    if (!this.isOpen) return undefined;
    const isFirst = this.#backlogEnd === undefined;
    return { topic: this.topic, partition: this.partition, offset: this.#next, isFirst };
  }

  get isFull(): boolean {
    return this.#next - this.#base >= windowSize;
  }

  /** The entry that holds everything up, if it waits for its time and its key does not. */
  get stuck(): Entry | undefined {
    if (this.#parts.ordered === "block") return undefined;
    const entry = this.isFull ? this.#entries.get(this.#base) : undefined;
    return entry?.state === "delayed" ? entry : undefined;
  }

  take({ wanted, records, next, end }: Fetched): void {
    if (this.isEnded || wanted.offset !== this.#next) return;
    this.#backlogEnd ??= end;
    let at = this.#next;
    const limit = this.#base + windowSize;
    for (const record of records) {
      const holes = Math.min(record.offset, limit); // of compaction, marks of transactions
      for (; at < holes; at += 1) this.#done.add(at);
      this.#next = at;
      if (record.offset >= limit) {
        this.#moveBase();
        return;
      }
      at = record.offset + 1;
      this.#next = at;
      if (this.#done.has(record.offset)) continue;
      this.#enter(toRead(record, this.#parts.format));
    }
    const last = Math.min(next, limit);
    for (; at < last; at += 1) this.#done.add(at);
    this.#next = Math.max(this.#next, last);
    this.#moveBase();
  }

  /** The log has dropped, or cut off, what was to come. */
  moved(offset: number): void {
    if (offset > this.#next) this.#gaps.push({ from: this.#next, to: offset });
    else this.#cutOff(offset);
    this.#next = offset;
    this.#moveBase();
  }

  /** What comes there now is something else. */
  #cutOff(end: number): void {
    for (const [offset, entry] of this.#entries) {
      if (offset < end) continue;
      if (entry.state === "waiting") this.#remove(entry);
      entry.cancelTimer?.();
      entry.state = "done";
      this.#forget(offset);
    }
    for (const offset of this.#done) if (offset >= end) this.#done.delete(offset);
    for (const offset of this.#attempts.keys()) if (offset >= end) this.#attempts.delete(offset);
    this.#gaps = this.#gaps
      .filter(({ from }) => from < end)
      .map(({ from, to }) => ({ from, to: Math.min(to, end) }));
    this.#base = Math.min(this.#base, end);
    this.#version += 1;
  }

  /** The first that may be handed out now. */
  get first(): Entry | undefined {
    if (this.#parts.ordered) {
      for (const entry of this.ready()) return entry;
      return undefined;
    }
    return this.isEnded || this.isStill ? undefined : this.#waiting[0];
  }

  /** Those that may be handed out now, first ones first. */
  *ready(): Generator<Entry, void, undefined> {
    if (this.isEnded || this.isStill) return;
    if (!this.#parts.ordered) {
      yield* this.#waiting;
      return;
    }
    const busy = new Set<string>();
    for (const entry of this.#entries.values()) {
      const blocks =
        entry.state === "out" || (entry.state === "delayed" && this.#parts.ordered !== "skip");
      if (blocks) busy.add(keyOf(entry));
    }
    for (const entry of [...this.#waiting]) {
      const key = keyOf(entry);
      if (key !== "" && busy.has(key)) continue;
      busy.add(key);
      yield entry;
    }
  }

  handOut(entry: Entry): void {
    this.#remove(entry);
    entry.state = "out";
    entry.handed += 1;
    this.held += 1;
    this.#attempts.set(entry.read.record.offset, entry.handed);
    this.#version += 1;
  }

  /**
   * Its work is done, or no longer this group's. `held` is the caller's to lower, when it is kept.
   */
  settle(entry: Entry): void {
    if (entry.state === "done") return;
    if (entry.state === "waiting") this.#remove(entry);
    entry.cancelTimer?.();
    entry.state = "done";
    this.#forget(entry.read.record.offset);
    this.#moveBase();
  }

  /** Copies of an event that were directed here, and never handed out. */
  redriven(id: string | undefined): readonly Entry[] {
    if (id === undefined || this.#waiting.length === 0) return noEntries;
    return this.#waiting.filter(
      ({ isRedriven, handed, read }) =>
        isRedriven && handed === 0 && read.recorded.event?.id === id,
    );
  }

  /** Back among those that wait, at its old place. */
  putBack(entry: Entry, counted: boolean): void {
    if (entry.state === "done") return; // the log was cut off before it
    if (!counted) entry.handed = Math.max(0, entry.handed - 1);
    const { offset } = entry.read.record;
    if (entry.handed > 0) this.#attempts.set(offset, entry.handed);
    else this.#attempts.delete(offset);
    this.#version += 1;
    this.#wait(entry);
  }

  delay(entry: Entry, delayMs: number): void {
    if (entry.state === "done") return;
    entry.state = "delayed";
    this.#version += 1;
    entry.cancelTimer = this.#parts.after(delayMs, () => {
      if (!this.isEnded && entry.state === "delayed") this.#wait(entry);
    });
  }

  stop(): void {
    this.isEnded = true;
    for (const entry of this.#entries.values()) entry.cancelTimer?.();
    this.#entries.clear();
    this.#waiting = [];
  }

  #enter(read: Read): void {
    const { offset, headers } = read.record;
    if (!this.#parts.isOurs(read)) {
      this.#forget(offset);
      return;
    }
    const first = Number(headers[headerOf.attempt] ?? 1);
    const isCopy = headers[headerOf.group] !== undefined;
    const entry: Entry = {
      lane: this,
      read,
      first,
      isRedriven: isCopy && first === 1 && headers[headerOf.position] === undefined,
      state: "waiting",
      handed: this.#attempts.get(offset) ?? 0,
    };
    this.#entries.set(offset, entry);
    this.#bytes += bytesOf(entry);
    const delayMs = isCopy ? this.#parts.dueIn(read) : 0;
    if (delayMs > 0) this.delay(entry, delayMs);
    else this.#wait(entry);
  }

  #forget(offset: number): void {
    const entry = this.#entries.get(offset);
    if (entry) this.#bytes -= bytesOf(entry);
    this.#entries.delete(offset);
    this.#attempts.delete(offset);
    this.#done.add(offset);
    this.#version += 1;
  }

  #wait(entry: Entry): void {
    entry.state = "waiting";
    const { offset } = entry.read.record;
    let at = this.#waiting.length;
    while (at > 0 && this.#waiting[at - 1]!.read.record.offset > offset) at -= 1;
    if (at === this.#waiting.length) this.#waiting.push(entry);
    else this.#waiting.splice(at, 0, entry);
    this.#parts.onWaiting();
  }

  #remove(entry: Entry): void {
    if (this.#waiting[0] === entry) {
      this.#waiting.shift();
      return;
    }
    const at = this.#waiting.indexOf(entry);
    if (at !== -1) this.#waiting.splice(at, 1);
  }

  #moveBase(): void {
    const before = this.#base;
    for (;;) {
      const [gap] = this.#gaps;
      if (gap?.from === this.#base) {
        this.#base = gap.to;
        this.#gaps.shift();
        for (const offset of this.#done) if (offset < gap.to) this.#done.delete(offset);
      } else if (this.#done.delete(this.#base)) this.#base += 1;
      else break;
    }
    if (this.#base !== before) this.#version += 1;
  }
}

function keyOf({ read }: Entry): string {
  return read.recorded.event?.metadata.key ?? "";
}

function bytesOf({ read: { record } }: Entry): number {
  return (record.value?.length ?? 0) + 300;
}

/**
 * The first of all that are ready, by time. Nothing while a backlog is not known that somebody
 * can be asked for: it may hold an earlier one.
 */
export function firstReady(
  lanes: Iterable<Lane>,
  cluster: { isLed(place: Partition): boolean },
): Entry | undefined {
  let first: Entry | undefined;
  for (const lane of lanes) {
    if (lane.isBehind && cluster.isLed(lane)) return undefined;
    const entry = lane.first;
    if (entry && (!first || compareRecords(entry.read, first.read) < 0)) first = entry;
  }
  return first;
}
