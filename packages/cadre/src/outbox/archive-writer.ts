/**
 * Writes batches of deliveries into the store: all that is not there yet, in one commit.
 *
 *   batch ─▶ commit ──ok──────────▶ kept
 *              └──DUPLICATE_ID──▶ look each id up ─▶ commit what is left, again if need be
 *
 * The common batch is all new and costs one commit and no look. One that has come before is looked
 * up event by event.
 */
import { isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Random } from "../core/random.ts";
import type { Recorded } from "../bus/transport.ts";
import type { EventStore } from "../store/event-store.ts";
import { sameEvent } from "../store/same-event.ts";
import {
  archiveStream,
  conflictRecord,
  recordStream,
  undecodableRecord,
} from "./archive-record.ts";

/** What became of a batch. */
export interface Written {
  /** Events that are new in the store. */
  readonly archived: number;
  /** Events that were there. */
  readonly duplicates: number;
  /** Records of deliveries that hold no event, or another one of an id that is there. */
  readonly records: number;
}

const mostTries = 10; // each time another archiver has written a part of the batch meanwhile

export class ArchiveWriter {
  readonly #store: EventStore;
  readonly #group: string;
  readonly #random: Random;

  constructor(store: EventStore, group: string, random: Random) {
    this.#store = store;
    this.#group = group;
    this.#random = random;
  }

  /** @throws what the store throws; then nothing of the batch is kept */
  async write(batch: readonly Recorded[]): Promise<Written> {
    const events = new Map<string, AgentEvent>();
    const records = new Map<string, AgentEvent>();
    let repeated = 0;
    for (const recorded of batch) {
      const { event } = recorded;
      if (recorded.undecodable || !event) {
        const made = undecodableRecord(recorded, this.#group, this.#random);
        records.set(made.id, made);
        continue;
      }
      const first = events.get(event.id);
      if (!first) events.set(event.id, event);
      else if (sameEvent(first, event)) repeated += 1;
      else this.#addConflict(records, event);
    }
    return this.#commit(events, records, repeated);
  }

  async #commit(
    events: Map<string, AgentEvent>,
    records: Map<string, AgentEvent>,
    repeated: number,
  ): Promise<Written> {
    let duplicates = repeated;
    for (let tries = 1; ; tries += 1) {
      try {
        const isNew = await this.#append(events, records);
        if (!isNew) return { archived: 0, duplicates: duplicates + events.size, records: 0 };
        return { archived: events.size, duplicates, records: records.size };
      } catch (error) {
        if (!isCadreError(error, "DUPLICATE_ID") || tries === mostTries) throw error;
      }
      duplicates += await this.#takeOutKnown(events, records);
    }
  }

  /** False when all of it was there. */
  async #append(
    events: ReadonlyMap<string, AgentEvent>,
    records: ReadonlyMap<string, AgentEvent>,
  ): Promise<boolean> {
    const parts: [string, AgentEvent[]][] = [
      [archiveStream(this.#group), [...events.values()]],
      [recordStream(this.#group), [...records.values()]],
    ];
    const appends = parts
      .filter(([, ofStream]) => ofStream.length > 0)
      .map(([stream, ofStream]) => {
        // Private: what came from the bus must not go back to it.
        return { stream, expectedVersion: "any", events: ofStream, private: true } as const;
      });
    if (appends.length === 0) return true;
    const { duplicate } = await this.#store.commit({ appends });
    return !duplicate;
  }

  /** How many of the events are there already. */
  async #takeOutKnown(
    events: Map<string, AgentEvent>,
    records: Map<string, AgentEvent>,
  ): Promise<number> {
    let known = 0;
    for (const event of [...events.values()]) {
      const there = await this.#find(event.id);
      if (!there) continue;
      events.delete(event.id);
      if (sameEvent(there, event)) known += 1;
      else this.#addConflict(records, event);
    }
    for (const id of [...records.keys()]) {
      if (await this.#find(id)) records.delete(id); // its id says what it holds
    }
    return known;
  }

  #addConflict(records: Map<string, AgentEvent>, event: AgentEvent): void {
    const made = conflictRecord(event, this.#group, this.#random);
    records.set(made.id, made);
  }

  async #find(id: string): Promise<AgentEvent | undefined> {
    for await (const { event } of this.#store.read({ id, limit: 1 })) return event;
    return undefined;
  }
}
