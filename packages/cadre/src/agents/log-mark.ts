/**
 * Where a projection may begin to read the log: past everything that is over.
 *
 *   slot marks/<projection>   position, the ids of what was open there, and what was counted so far
 *
 * A start reads the streams of what was open, then the log behind the position. The mark is a
 * cache: any process writes it now and then, each one that was ever written is true, and without
 * one, or with one that doesn't fit the log, the whole log is read. That it fits is known by the
 * event at its position: a log that was replaced has another there, or none.
 */
import { isCadreError } from "../core/errors.ts";
import type { EventStore, LogPosition, Slot } from "../store/event-store.ts";
import type { TeamContext } from "./team-context.ts";

/** What there was at a position of the log. */
export interface Marked {
  readonly position: LogPosition;
  /** Id of the event at the position. */
  readonly anchor: string;
  /** Ids of everything that was not over. There may be some of what came later. */
  readonly open: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

type Written = Marked & { readonly format: number };

/** Raised when an older mark would mislead: when other things are over, or counted. */
const format = 1;
const everyEvents = 2_000; // a start reads no more of what is over
const maxOpen = 10_000; // ids in a slot; beyond it the last mark stays, and is as true as it was

export class LogMark {
  readonly #context: Pick<TeamContext, "store" | "logger" | "markEvery">;
  readonly #slot: string;
  readonly #every: number;
  /** The slot's version whose mark does not fit the log. */
  #misfit: number | undefined;
  #position: LogPosition = 0;
  #passed = 0;
  #writing = false;

  constructor(
    context: Pick<TeamContext, "store" | "logger" | "markEvery">,
    projection: "tasks" | "features",
  ) {
    this.#context = context;
    this.#slot = `marks/${projection}`;
    this.#every = context.markEvery ?? everyEvents;
  }

  /** The last mark, if there is one that fits the log. Rejects as the store does. */
  async load(): Promise<Marked | undefined> {
    if (this.#every === 0) return undefined;
    const { store } = this.#context;
    const slot = await store.slot(this.#slot);
    if (!slot) return undefined;
    const mark = read(slot);
    if (mark && (await isThere(store, mark))) {
      this.#position = mark.position;
      return mark;
    }
    this.#misfit = slot.version;
    return undefined;
  }

  /** So many events were read. */
  passed(events: number): void {
    this.#passed += events;
  }

  /** Whether it is time for the next mark, with so much open. */
  isDue(open: number): boolean {
    if (this.#every === 0 || this.#writing || open > maxOpen) return false;
    // What a mark costs goes with what is open.
    return this.#passed >= Math.max(this.#every, 2 * open);
  }

  /** Writes a mark, unless another process has just done so. Never rejects. */
  async keep(mark: Marked): Promise<void> {
    this.#passed = 0;
    this.#writing = true;
    try {
      await this.#write(mark);
    } catch (error) {
      // Somebody else's is as good, and the next one comes.
      if (isCadreError(error, "VERSION_CONFLICT") || isCadreError(error, "CLOSED")) return;
      this.#context.logger.warn("The place to start reading from could not be noted.", { error });
    } finally {
      this.#writing = false;
    }
  }

  async #write(mark: Marked): Promise<void> {
    const { store } = this.#context;
    const slot = await store.slot(this.#slot);
    const known = slot && slot.version !== this.#misfit ? read(slot) : undefined;
    if (known && known.position > this.#position) {
      this.#position = known.position;
      return;
    }
    const value: Written = { format, ...mark };
    await store.commit({
      slots: [
        {
          name: this.#slot,
          expectedVersion: slot?.version ?? 0,
          value: JSON.stringify(value),
        },
      ],
    });
    this.#position = mark.position;
    this.#misfit = undefined;
  }
}

/** Of another format, or damaged, it is none. */
function read({ value }: Slot): Marked | undefined {
  try {
    const written = JSON.parse(value) as Partial<Written> | null;
    if (written?.format !== format) return undefined;
    const { position, anchor, open, counts } = written;
    if (!Number.isSafeInteger(position) || typeof anchor !== "string") return undefined;
    if (!Array.isArray(open) || typeof counts !== "object" || counts === null) return undefined;
    return { position: Number(position), anchor, open, counts };
  } catch {
    return undefined;
  }
}

async function isThere(store: EventStore, { position, anchor }: Marked): Promise<boolean> {
  const query = { after: position - 1, upTo: position, limit: 1 };
  for await (const { event } of store.read(query)) return event.id === anchor;
  return false;
}
