import { join } from "node:path";
import { test } from "node:test";
import { claimCheckStore, folderBlobs, memoryStore, type EventStore } from "cadre";
import { storeConformance } from "cadre/testing";
import { temporaryFolder } from "../drivers/sqlite/temporary-file.ts";

const blobs = folderBlobs(join(temporaryFolder(), "blobs"));

storeConformance({
  test,
  // Every payload is large: the whole suite goes by references.
  createStore: (): EventStore => claimCheckStore(memoryStore(), { blobs, overBytes: 1 }),
  notApplicable: [
    { check: "S-44", reason: "an audit sees the rows as they are: references" },
    { check: "S-47", reason: "usage counts the rows as they are: references" },
  ],
});
