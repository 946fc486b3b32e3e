/** What of the log somebody still needs: nothing of it is ever removed. */
import type { EventStore, Hold, LogPosition } from "./event-store.ts";
import { readChainHead } from "./seal.ts";

/**
 * The holds that a store can tell of: those of its consumer groups, of relays and of projections by
 * their checkpoints, and of the seals, where there are any: what is not sealed yet must stay.
 */
export async function readHolds(store: EventStore): Promise<readonly Hold[]> {
  const holds: Hold[] = [...(await store.holds())];
  const aside = new Map<string, LogPosition[]>();
  for (const { name, value } of await store.slots("relay/")) {
    const [, relay = "", position] = /^relay\/(.+)\/(?:position|aside\/(\d+))$/.exec(name) ?? [];
    if (position !== undefined) {
      aside.set(relay, [...(aside.get(relay) ?? []), Number(position)]);
    } else if (name.endsWith("/position")) {
      holds.push({ by: `relay ${relay}`, after: Number(value), positions: [] });
    }
  }
  for (const [relay, positions] of aside) {
    const after = Number.MAX_SAFE_INTEGER;
    holds.push({ by: `relay ${relay}, set aside`, after, positions });
  }
  for (const { name, value } of await store.slots("projection/")) {
    const after = positionIn(value);
    if (after !== undefined) {
      holds.push({ by: `projection ${name.slice("projection/".length)}`, after, positions: [] });
    }
  }
  const { slot, anchor } = await readChainHead(store);
  if (slot) holds.push({ by: "the audit", after: anchor?.to ?? 0, positions: [] });
  return holds;
}

/** A checkpoint that cannot be read is no checkpoint: its projection begins anew. */
function positionIn(checkpoint: string): LogPosition | undefined {
  try {
    const { position } = JSON.parse(checkpoint) as { readonly position: unknown };
    return Number.isSafeInteger(position) ? Number(position) : undefined;
  } catch {
    return undefined;
  }
}

/** All holds together. */
export class HeldPlaces {
  /** Everything after it is held. */
  readonly after: LogPosition;
  /** Who holds that. */
  readonly by: string | undefined;
  readonly #positions: ReadonlySet<LogPosition>;

  constructor(holds: readonly Hold[]) {
    let lowest: Hold | undefined;
    for (const hold of holds) if (!lowest || hold.after < lowest.after) lowest = hold;
    this.after = lowest?.after ?? Number.MAX_SAFE_INTEGER;
    this.by = lowest?.by;
    this.#positions = new Set(holds.flatMap(({ positions }) => positions));
  }

  has(position: LogPosition): boolean {
    return position > this.after || this.#positions.has(position);
  }
}
