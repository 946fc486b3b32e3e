import { CadreError } from "../core/errors.ts";
import type { ReadQuery, Transport } from "../bus/transport.ts";
import type { EventStore } from "../store/event-store.ts";

export interface ArchiveCheckOptions {
  /** The broker itself, whose own history is compared: not one made by `withArchive`. */
  readonly transport: Transport;
  readonly store: EventStore;
  /** What is compared. @default everything that the broker still keeps */
  readonly query?: Omit<ReadQuery, "limit" | "backward">;
  /** Ids that are named; the others are counted. @default 1_000 */
  readonly maxNamed?: number;
}

export interface ArchiveCheck {
  readonly ok: boolean;
  /** Events in the broker's history. */
  readonly checked: number;
  /** Of these, those that are not in the store. */
  readonly missing: number;
  /** The first of them, in the broker's order. */
  readonly ids: readonly string[];
}

/**
 * Compares what the broker still keeps with the archive, event by event, and names what is missing.
 * What was published during the last moments may still be on its way: look again at what is named.
 *
 * @throws {CadreError} UNSUPPORTED, where the broker keeps no history of its own
 */
export async function verifyArchive(options: ArchiveCheckOptions): Promise<ArchiveCheck> {
  const { transport, store, query = {}, maxNamed = 1_000 } = options;
  if (!transport.read) {
    const message =
      `Transport "${transport.name}" keeps no history, so that there is nothing to compare the ` +
      "archive with.";
    throw new CadreError("UNSUPPORTED", message, { feature: "history", by: transport.name });
  }
  const ids: string[] = [];
  let [checked, missing] = [0, 0];
  for await (const { event } of transport.read(query)) {
    if (!event) continue;
    checked += 1;
    if (await isThere(store, event.id)) continue;
    missing += 1;
    if (ids.length < maxNamed) ids.push(event.id);
  }
  return { ok: missing === 0, checked, missing, ids };
}

async function isThere(store: EventStore, id: string): Promise<boolean> {
  for await (const _ of store.read({ id, limit: 1 })) return true;
  return false;
}
