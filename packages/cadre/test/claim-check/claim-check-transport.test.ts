import { test } from "node:test";
import { claimCheckTransport, memoryStore, storeBlobs } from "cadre";
import { sqlite } from "cadre/sqlite";
import { transportConformance } from "#src/testing/transport-conformance.ts";
import { temporaryFile } from "../drivers/sqlite/temporary-file.ts";

const path = temporaryFile();
// Every payload is large: the whole suite goes by references.
const check = { blobs: storeBlobs(memoryStore()), overBytes: 1 };

await transportConformance({
  test,
  createTransport: () => claimCheckTransport(sqlite(path), check),
  restart: async () => {}, // the blobs outlive the connections, and the check opens new ones
});
