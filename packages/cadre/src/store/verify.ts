/**
 * Verifies a log against its seals: walks both side by side and stops at the first place where they
 * differ.
 *
 *   rows    ─ 1 ─ 2 ─ 3 ─ 4 ─ 5 ─ 6 ─ 7 ─ 8 ─ 9 ─   each: as it is written? its leaf?
 *   seals   [─── 1 ───][─── 2 ───][── 3 ──]         each: its number, its place, the digest before
 *   anchors             ▲                            each: the seal that it names, its digest
 */
import type { Clock } from "../core/clock.ts";
import { describeError } from "../core/errors.ts";
import type { EventStore, InspectedRow, LogPosition } from "./event-store.ts";
import { RemovedPlaces } from "./removal-record.ts";
import {
  digestOf,
  leafOf,
  leavesOf,
  noDigest,
  parseSeal,
  readChainHead,
  sealSlot,
  type Anchor,
  type Seal,
} from "./seal.ts";

export interface VerifyOptions {
  /** Seals as they were noted elsewhere: what a log that was written anew cannot show. */
  readonly anchors?: readonly Anchor[];
  /** Told from time to time how far it is. */
  readonly onProgress?: (position: LogPosition) => void;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

/**
 * - `changed`: the row is there, with other content than was sealed, or not as the store writes it.
 * - `moved`: another row of the log is in its place.
 * - `removed`: the row is gone, and nothing in the log says that it was meant to go.
 * - `inserted`: the row was not there when its place was sealed.
 * - `cut`: the log ends here, and was sealed or anchored beyond it.
 * - `seal`: the chain itself is broken: a seal is changed, missing, or not the one that was
 *   anchored.
 */
export type AuditProblemKind = "changed" | "moved" | "removed" | "inserted" | "cut" | "seal";

export interface AuditProblem {
  readonly kind: AuditProblemKind;
  /** The first row that is not as it was sealed. */
  readonly position: LogPosition;
  /** The seal that says so. */
  readonly seal?: number;
  /** What is wrong, in a sentence. */
  readonly message: string;
}

export interface AuditReport {
  readonly ok: boolean;
  /** The first thing that is wrong. */
  readonly problem?: AuditProblem;
  /** Everything up to here is as it was sealed. */
  readonly verifiedTo: LogPosition;
  /** The last seal. Absent when nothing is sealed. */
  readonly sealed?: Anchor;
  /** Seals that were verified. */
  readonly seals: number;
  /** Rows that were verified. */
  readonly rows: number;
  /** Rows that retention has removed from what is sealed. */
  readonly removed: number;
  /** Rows behind the last seal: nothing is known about them yet. Counted when all else is well. */
  readonly unsealed: number;
  /** Anchors that were found in the chain. */
  readonly anchors: number;
}

/** Verifies a log. Writes nothing; others may write meanwhile. */
export async function verifyLog(
  store: EventStore,
  options: VerifyOptions = {},
): Promise<AuditReport> {
  return new Verification(store, options).run();
}

class Verification {
  readonly #store: EventStore;
  readonly #options: VerifyOptions;
  readonly #rows: Rows;
  /** By number: of two that differ at most one is true. */
  readonly #anchors: Map<number, readonly Anchor[]>;
  #removedPlaces: RemovedPlaces | undefined;
  #problem: AuditProblem | undefined;
  #verifiedTo = 0;
  #seals = 0;
  #verified = 0;
  #removed = 0;
  #found = 0;

  constructor(store: EventStore, options: VerifyOptions) {
    this.#store = store;
    this.#options = options;
    this.#rows = new Rows(store);
    this.#anchors = Map.groupBy(options.anchors ?? [], ({ anchor }) => anchor);
  }

  async run(): Promise<AuditReport> {
    const { anchor: head, slot } = await readChainHead(this.#store);
    let unsealed = 0;
    try {
      if (slot && !head) this.#fail("seal", 1, "The end of the chain of seals cannot be read.");
      else {
        await this.#walk(head);
        await this.#checkEnd(head);
      }
      // Sealed meanwhile or not: what is behind the end that was read is not part of this audit.
      if (!this.#problem) unsealed = await this.#rows.countRest((row) => this.#checkUnsealed(row));
    } finally {
      await this.#rows.close();
    }
    return {
      ok: !this.#problem,
      ...(this.#problem ? { problem: this.#problem } : {}),
      verifiedTo: this.#verifiedTo,
      ...(head ? { sealed: head } : {}),
      seals: this.#seals,
      rows: this.#verified,
      removed: this.#removed,
      unsealed,
      anchors: this.#found,
    };
  }

  async #walk(head: Anchor | undefined): Promise<void> {
    let before: Anchor = { anchor: 0, to: 0, hash: noDigest };
    let line = (await this.#store.slot(sealSlot(1)))?.value;
    if (!head) return;
    const last = head.anchor;
    while (before.anchor < last && !this.#problem) {
      this.#options.signal?.throwIfAborted();
      const number = before.anchor + 1;
      const seal = line === undefined ? undefined : parseSeal(line);
      if (line === undefined || !seal) {
        const what = line === undefined ? "is missing" : "cannot be read";
        this.#fail("seal", before.to + 1, `Seal ${number} of ${last} ${what}.`, number);
        return;
      }
      const nextLine =
        number < last ? (await this.#store.slot(sealSlot(number + 1)))?.value : undefined;
      const vouched = number < last ? nextLine && parseSeal(nextLine)?.prev : head.hash;
      this.#checkSeal({ seal, line, before, vouched, head });
      if (this.#problem) return;
      await this.#checkRows(seal);
      if (this.#problem) return;
      this.#seals += 1;
      this.#verifiedTo = seal.to;
      this.#options.onProgress?.(seal.to);
      before = { anchor: number, to: seal.to, hash: digestOf(line) };
      line = nextLine;
    }
  }

  #checkSeal(link: {
    readonly seal: Seal;
    readonly line: string;
    readonly before: Anchor;
    /** The digest that the seal after it, or the end of the chain, has of it. */
    readonly vouched: string | undefined;
    readonly head: Anchor;
  }): void {
    const { seal, line, before, vouched, head } = link;
    const number = before.anchor + 1;
    const place = `Seal ${number} (positions ${before.to + 1} to ${seal.to})`;
    const fail = (what: string): void =>
      this.#fail("seal", before.to + 1, `${place} ${what}.`, number);
    if (seal.seal !== number || seal.from !== before.to + 1) {
      return fail("does not continue the one before it");
    }
    if (seal.prev !== before.hash) return fail("does not name the digest of the one before it");
    if (vouched !== undefined && vouched !== digestOf(line)) {
      const by = number < head.anchor ? `seal ${number + 1} names` : "the end of the chain names";
      return fail(`was changed: ${by} another digest of it`);
    }
    if (number === head.anchor && seal.to !== head.to) {
      return fail(`is the last one, and the end of the chain says that it reaches to ${head.to}`);
    }
    const anchors = this.#anchors.get(number) ?? [];
    if (anchors.some(({ hash, to }) => hash !== digestOf(line) || to !== seal.to)) {
      return fail("is not the one that was anchored: the log was written anew");
    }
    if (anchors.length > 0) this.#found += 1; // equal ones are one
  }

  async #checkRows(seal: Seal): Promise<void> {
    for (const [position, leaf] of leavesOf(seal)) {
      const row = await this.#rows.peek();
      if (row && row.position < position) return this.#inserted(row.position, seal);
      if (row?.position === position) {
        this.#checkRow(row, leaf, seal);
        if (this.#problem) return;
        this.#rows.take();
        this.#verified += 1;
      } else if (await this.#wasRemoved(position)) this.#removed += 1;
      else return this.#missing(position, seal, row === undefined);
    }
    const next = await this.#rows.peek();
    if (next && next.position <= seal.to) this.#inserted(next.position, seal);
  }

  /** Whether retention has removed the row, perhaps only just now. */
  async #wasRemoved(position: LogPosition): Promise<boolean> {
    if (this.#removedPlaces?.has(position)) return true;
    this.#removedPlaces = await RemovedPlaces.read(this.#store).catch(() => undefined);
    return this.#removedPlaces?.has(position) ?? false;
  }

  #checkRow({ position, stored, fault }: InspectedRow, leaf: string, seal: Seal): void {
    const fail = (kind: AuditProblemKind, what: string): void =>
      this.#fail(kind, position, `The row at position ${position} ${what}.`, seal.seal);
    if (!stored) return fail("changed", `was changed: it ${fault ?? "cannot be read"}`);
    let actual: string;
    try {
      actual = leafOf(stored);
    } catch (error) {
      return fail("changed", `was changed: ${describeError(error).message}`);
    }
    if (actual !== leaf) {
      for (const [place, other] of leavesOf(seal)) {
        if (place === position || leafOf({ ...stored, position: place }) !== other) continue;
        return fail("moved", `was moved: it is the row of position ${place}`);
      }
      return fail("changed", "was changed: it is not the one that was sealed");
    }
    if (fault !== undefined) fail("changed", `was changed: ${fault}`);
  }

  /** A row of no seal yet can only be looked at by itself. */
  #checkUnsealed({ position, fault }: InspectedRow): void {
    if (fault === undefined || this.#problem) return;
    this.#fail("changed", position, `The row at position ${position} was changed: ${fault}.`);
  }

  #inserted(position: LogPosition, seal: Seal): void {
    const message = `The row at position ${position} was inserted: its place was sealed empty.`;
    this.#fail("inserted", position, message, seal.seal);
  }

  #missing(position: LogPosition, seal: Seal, isEnd: boolean): void {
    const last = this.#options.anchors?.reduce((most, { to }) => Math.max(most, to), 0) ?? 0;
    const end = Math.max(seal.to, last);
    const message = isEnd
      ? `The log was cut: it ends before position ${position} and was sealed up to ${end} at least.`
      : `The row at position ${position} was removed, and no rule of retention says so.`;
    this.#fail(isEnd ? "cut" : "removed", position, message, seal.seal);
  }

  /** Behind the last seal: whether the chain was cut, with the rows or without them. */
  async #checkEnd(head: Anchor | undefined): Promise<void> {
    if (this.#problem) return;
    const last = head?.anchor ?? 0;
    const next = last + 1;
    const now = await readChainHead(this.#store);
    const isUnchanged = now.anchor?.anchor === head?.anchor;
    if (isUnchanged && (await this.#store.slot(sealSlot(next)))) {
      const message = `Seal ${next} is there, and the chain ends before it.`;
      return this.#fail("seal", (head?.to ?? 0) + 1, message, next);
    }
    const beyond = [...this.#anchors.values()].flat().filter(({ anchor }) => anchor > last);
    if (beyond.length === 0) return;
    const anchor = beyond.reduce((least, each) => (each.anchor < least.anchor ? each : least));
    await this.#rows.skip(anchor.to);
    const reached = Math.max(this.#rows.passed, head?.to ?? 0);
    if (reached < anchor.to) {
      const message =
        `The log was cut: it ends at position ${reached}, and seal ${anchor.anchor} was ` +
        `anchored at ${anchor.to}.`;
      return this.#fail("cut", reached + 1, message, anchor.anchor);
    }
    const from = (head?.to ?? 0) + 1;
    const message =
      `Seal ${next} (from position ${from}) is missing, and seal ${anchor.anchor} was ` +
      "anchored.";
    this.#fail("seal", from, message, next);
  }

  #fail(kind: AuditProblemKind, position: LogPosition, message: string, seal?: number): void {
    this.#problem ??= { kind, position, ...(seal === undefined ? {} : { seal }), message };
  }
}

/** The rows of the log, one at a time. */
class Rows {
  readonly #iterator: AsyncIterator<InspectedRow>;
  #row: InspectedRow | undefined;
  #ended = false;
  /** The last place that was taken. */
  passed = 0;

  constructor(store: EventStore) {
    this.#iterator = store.inspect()[Symbol.asyncIterator]();
  }

  async peek(): Promise<InspectedRow | undefined> {
    if (this.#row || this.#ended) return this.#row;
    const next = await this.#iterator.next();
    this.#ended = next.done === true;
    this.#row = next.done ? undefined : next.value;
    return this.#row;
  }

  take(): void {
    this.passed = this.#row?.position ?? this.passed;
    this.#row = undefined;
  }

  /** Passes everything up to `position`. */
  async skip(position: LogPosition): Promise<void> {
    for (let row = await this.peek(); row && row.position <= position; row = await this.peek()) {
      this.take();
    }
  }

  async countRest(each: (row: InspectedRow) => void): Promise<number> {
    let count = 0;
    for (let row = await this.peek(); row; row = await this.peek()) {
      each(row);
      this.take();
      count += 1;
    }
    return count;
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }
}
