import { CadreError } from "../core/errors.ts";
import type { ReadQuery, Recorded, Transport } from "../bus/transport.ts";
import type { EventStore, StoreQuery } from "../store/event-store.ts";
import { passed } from "./archive-record.ts";

/**
 * A transport whose history is the archive's: `bus.history` and `bus.replay` read what
 * {@link startArchive} has kept in `store`, and what the store's own relay has told the bus.
 *
 * A subscription still begins where the broker itself can begin one. Closing it closes the
 * transport and leaves the store open.
 */
export function withArchive(transport: Transport, store: EventStore): Transport {
  const { deadLetters, unitOfWork } = transport;
  const publishNow = transport.publishNow?.bind(transport);
  const publishInOrder = transport.publishInOrder?.bind(transport);
  const tap = transport.tap?.bind(transport);
  const groups = transport.groups?.bind(transport);
  const deleteGroup = transport.deleteGroup?.bind(transport);
  const health = transport.health?.bind(transport);
  return {
    name: transport.name,
    capabilities: { ...transport.capabilities, history: "log" },
    publish: (batch) => transport.publish(batch),
    open: (spec) => transport.open(spec),
    read: (query) => readArchive(store, query),
    ...(publishNow && { publishNow }),
    ...(publishInOrder && { publishInOrder }),
    ...(tap && { tap }),
    ...(deadLetters && { deadLetters }),
    ...(unitOfWork && { unitOfWork }),
    ...(groups && { groups }),
    ...(deleteGroup && { deleteGroup }),
    ...(health && { health }),
    close: () => transport.close(),
  };
}

async function* readArchive(
  store: EventStore,
  query: ReadQuery,
): AsyncGenerator<Recorded, void, undefined> {
  const { after, before, limit = Infinity, ...conditions } = query;
  const inStore: StoreQuery = {
    ...conditions,
    ...(after === undefined ? {} : { after: fromPosition(after) }),
    ...(before === undefined ? {} : { upTo: fromPosition(before) - 1 }),
  };
  // The log also holds what never passed the broker, so that the limit is counted here.
  let left = limit;
  if (left <= 0) return;
  for await (const stored of store.read(inStore)) {
    const recorded = passed(stored);
    if (!recorded) continue;
    yield recorded;
    left -= 1;
    if (left === 0) return;
  }
}

/** @throws {CadreError} INVALID_OPTION */
function fromPosition(position: string): number {
  if (/^\d{16}$/.test(position)) return Number(position);
  const message = `"${position}" is no position of the archive. Give one that its history has.`;
  throw new CadreError("INVALID_OPTION", message, { option: "position", value: position });
}
