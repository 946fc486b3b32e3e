import type { EventStore, LogPosition, StoreQuery } from "./event-store.ts";

/** Events of one type and version in the log. */
export interface StoredVersion {
  readonly type: string;
  readonly version: string;
  readonly count: number;
  readonly first: LogPosition;
  readonly last: LogPosition;
}

/**
 * The versions of payloads that the log holds, by type and version: what upcasters are still needed
 * for. Reads all that `query` chooses.
 */
export async function storedVersions(
  store: EventStore,
  query: Pick<StoreQuery, "type" | "after" | "upTo"> = {},
): Promise<readonly StoredVersion[]> {
  const found = new Map<string, StoredVersion>();
  for await (const { event, position } of store.read(query)) {
    const { type } = event;
    const { version } = event.metadata;
    const key = `${type} ${version}`;
    const known = found.get(key);
    found.set(key, {
      type,
      version,
      count: (known?.count ?? 0) + 1,
      first: known?.first ?? position,
      last: position,
    });
  }
  const order = ({ type, version }: StoredVersion): string => `${type} ${version}`;
  return [...found.values()].toSorted((left, right) => (order(left) < order(right) ? -1 : 1));
}
