import { after, test } from "node:test";
import { storeConformance } from "cadre/testing";
import { postgresStore } from "cadre/postgres";
import type { EventStore } from "cadre";
import { postgresServerPath, startPostgresServer } from "../../servers/postgres-server.ts";

if (postgresServerPath() === undefined) {
  test("the store suite on Postgres", { skip: "there is no postgres here" });
} else {
  const server = await startPostgresServer();
  after(() => server.stop());
  const urls = new WeakMap<EventStore, string>();
  let schemas = 0;
  const open = (url: string): EventStore => {
    const store = postgresStore(url);
    urls.set(store, url);
    return store;
  };
  storeConformance({
    test,
    createStore: () => open(`${server.url}?schema=store_${(schemas += 1)}`),
    reopen: async (store) => {
      const url = urls.get(store)!;
      await store.close();
      return open(url);
    },
    peer: async (store) => open(urls.get(store)!),
  });
}
