/**
 * The snapshots of one fold, in slots: an index, and a few numbered places that are used in turn.
 *
 *   snapshot/<series>       index: which place holds which point
 *   snapshot-7/<series>     the state at that point
 *
 * Nothing here is truth. A slot that is missing, unreadable or not what the index says is ignored,
 * and all of them may be deleted at any time: the number of places bounds what is left over.
 */
import { isCadreError } from "../core/errors.ts";
import { freezeJson, toFrozenJson, utf8Bytes } from "../core/json.ts";
import type { SlotWrite } from "../core/commit.ts";
import type { EventStore, LogPosition } from "./event-store.ts";
import { presetMaxBytes, type SnapshotPolicy } from "./snapshot-policy.ts";

/** Where in the past a snapshot is. */
export interface SnapshotPoint {
  /** The version of the stream, or the position of a projection. */
  readonly at: number;
  readonly position: LogPosition;
  readonly recordedAt: number;
  /** The event at that version, for a stream: another one there means another stream. */
  readonly eventId?: string;
}

export interface Snapshot<State> extends SnapshotPoint {
  readonly state: State;
}

interface Entry extends SnapshotPoint {
  readonly place: number;
  readonly bytes: number;
}

interface Index {
  readonly version: number;
  /** By `at`, the oldest first. */
  readonly entries: readonly Entry[];
}

const maxNameLength = 230; // leaves room for the prefix in a slot's name

export class SnapshotSeries<State> {
  readonly #store: EventStore;
  readonly #name: string;
  readonly #fold: number;
  readonly #frozen: boolean;

  /** @param fold version of the fold's code: snapshots of another one are ignored */
  constructor(
    store: EventStore,
    name: string,
    { fold, frozen = true }: { readonly fold: number; readonly frozen?: boolean },
  ) {
    this.#store = store;
    this.#name = name;
    this.#fold = fold;
    this.#frozen = frozen;
  }

  /** The points that are kept, the oldest first. */
  async points(): Promise<readonly SnapshotPoint[]> {
    return (await this.#index()).entries;
  }

  /** The latest snapshot that `fits`. */
  async latest(fits: (point: SnapshotPoint) => boolean): Promise<Snapshot<State> | undefined> {
    const { entries } = await this.#index();
    for (const entry of entries.toReversed()) {
      const snapshot = fits(entry) ? await this.#read(entry) : undefined;
      if (snapshot) return snapshot;
    }
    return undefined;
  }

  /**
   * Keeps one more, in place of one that is missed least. Nothing happens when somebody else is
   * keeping one at the same time.
   *
   * @throws {CadreError} NOT_JSON, when the state cannot be kept
   */
  async keep(snapshot: Snapshot<State>, policy: SnapshotPolicy): Promise<void> {
    if (this.#name.length > maxNameLength) return;
    const { state, ...point } = snapshot;
    const value = JSON.stringify({ fold: this.#fold, at: point.at, state: toFrozenJson(state) });
    const bytes = utf8Bytes(value);
    const { keep = 1, maxBytes = presetMaxBytes } = policy;
    if (bytes > maxBytes) return;
    const index = await this.#index();
    const others = index.entries.filter(({ at }) => at !== point.at);
    const place = freePlace(others);
    const entries = thinned(
      [...others, { ...point, place, bytes }].toSorted((left, right) => left.at - right.at),
      { keep, maxBytes },
    );
    const slots: SlotWrite[] = index.entries
      .filter((old) => old.place !== place && !entries.some((entry) => entry.place === old.place))
      .map((old) => ({ name: this.#slot(old.place), expectedVersion: "any", value: undefined }));
    if (entries.some((entry) => entry.place === place)) {
      slots.push({ name: this.#slot(place), expectedVersion: "any", value });
    }
    const kept = JSON.stringify({ fold: this.#fold, entries });
    slots.push({ name: this.#slot(), expectedVersion: index.version, value: kept });
    await this.#commit(slots);
  }

  /** What deletes all of them, for a commit. */
  async removal(): Promise<readonly SlotWrite[]> {
    const { entries } = await this.#index();
    return [undefined, ...entries.map(({ place }) => place)].map((place) => ({
      name: this.#slot(place),
      expectedVersion: "any",
      value: undefined,
    }));
  }

  #slot(place?: number): string {
    return `snapshot${place === undefined ? "" : `-${place}`}/${this.#name}`;
  }

  async #commit(slots: readonly SlotWrite[]): Promise<void> {
    try {
      await this.#store.commit({ slots });
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
    }
  }

  async #index(): Promise<Index> {
    const slot = await this.#store.slot(this.#slot());
    if (!slot) return { version: 0, entries: [] };
    const value = parsed(slot.value);
    const entries = value?.["fold"] === this.#fold ? value["entries"] : [];
    const usable = Array.isArray(entries) ? entries.filter(isEntry) : [];
    return { version: slot.version, entries: usable };
  }

  async #read({ place, bytes: _bytes, ...point }: Entry): Promise<Snapshot<State> | undefined> {
    const slot = await this.#store.slot(this.#slot(place));
    const value = slot && parsed(slot.value);
    if (!value || value["fold"] !== this.#fold || value["at"] !== point.at) return undefined;
    if (!("state" in value)) return undefined;
    const state = value["state"] as State; // what `keep` wrote, for this version of the fold
    return { ...point, state: this.#frozen ? freezeJson(state) : state };
  }
}

function freePlace(entries: readonly Entry[]): number {
  let place = 0;
  while (entries.some((entry) => entry.place === place)) place += 1;
  return place;
}

/**
 * Leaves out those between close neighbours, until few and small enough. The newest stays; the
 * rest ends up evenly spread, however long the log grows.
 */
function thinned(
  entries: readonly Entry[],
  { keep, maxBytes }: { readonly keep: number; readonly maxBytes: number },
): readonly Entry[] {
  const left = [...entries];
  let bytes = left.reduce((sum, entry) => sum + entry.bytes, 0);
  while (left.length > keep || bytes > maxBytes) {
    let closest = 0;
    for (let index = 1; index < left.length - 1; index += 1) {
      if (gapWithout(left, index) < gapWithout(left, closest)) closest = index;
    }
    const [gone] = left.splice(closest, 1);
    bytes -= gone?.bytes ?? 0;
  }
  return left;
}

function gapWithout(entries: readonly Entry[], index: number): number {
  return (entries[index + 1]?.at ?? Infinity) - (entries[index - 1]?.at ?? 0);
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === "object" && value !== null
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined; // unreadable: the events are read instead
  }
}

function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const { at, position, recordedAt, place, bytes } = value as Partial<Entry>;
  return [at, position, recordedAt, place, bytes].every(
    (member) => Number.isSafeInteger(member) && (member as number) >= 0,
  );
}
