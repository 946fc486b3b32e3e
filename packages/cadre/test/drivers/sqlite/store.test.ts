import { test } from "node:test";
import { storeConformance } from "#src/testing/store-conformance.ts";
import { openSqlite } from "cadre/sqlite";
import type { EventStore } from "#src/store/event-store.ts";
import { temporaryFile } from "./temporary-file.ts";

const paths = new WeakMap<EventStore, string>();

async function open(path: string): Promise<EventStore> {
  const { store } = await openSqlite(path);
  paths.set(store, path);
  return store;
}

storeConformance({
  test,
  createStore: () => open(temporaryFile()),
  reopen: async (store) => {
    await store.close();
    return open(paths.get(store)!);
  },
  peer: (store) => open(paths.get(store)!),
});
