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
    { check: "S-06", reason: "members in another order make another text, so another reference" },
    { check: "S-34", reason: "an audit sees the rows as they are: references" },
    { check: "S-37", reason: "usage counts the rows as they are: references" },
  ],
});
