import { blobOf, ClaimCheck, type ClaimCheckOptions } from "../core/claim-check.ts";
import type { EventStore, StoredEvent, StoreQuery } from "./event-store.ts";
import { readRows } from "./store-query.ts";

/**
 * A store whose large payloads lie in a blob store. Readers get them back; where a blob is missing,
 * looking at the payload throws BLOB_MISSING. What concerns the rows themselves (audit, export,
 * backup) sees the references: blobs are copied apart.
 *
 * Closing it closes the store.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function claimCheckStore(store: EventStore, options: ClaimCheckOptions): EventStore {
  const check = new ClaimCheck(options);
  const now = store.now?.bind(store);
  const compact = store.compact?.bind(store);
  const backup = store.backup?.bind(store);
  return {
    name: store.name,
    ...(store.log === undefined ? {} : { log: store.log }),
    commit: async (commit) => store.commit(await check.toReferences(commit)),
    read: (query) => readPayloads(store, query, check),
    readRows: (query = {}) => readRows(store, query),
    ...(now && { now }),
    version: (stream) => store.version(stream),
    head: () => store.head(),
    watch: (wake) => store.watch(wake),
    slot: (name) => store.slot(name),
    slots: (prefix) => store.slots(prefix),
    marked: (marks) => store.marked(marks),
    pruneInbox: (olderThanMs) => store.pruneInbox(olderThanMs),
    inspect: (range) => store.inspect(range),
    restore: (rows) => store.restore(rows),
    holds: () => store.holds(),
    usage: (usage) => store.usage(usage),
    ...(compact && { compact }),
    ...(backup && { backup }),
    close: () => store.close(),
  };
}

async function* readPayloads(
  store: EventStore,
  query: StoreQuery | undefined,
  check: ClaimCheck,
): AsyncIterable<StoredEvent> {
  for await (const stored of store.read(query)) {
    if (blobOf(stored.event) === undefined) yield stored;
    else yield { ...stored, event: await check.toPayloadOrError(stored.event) };
  }
}
