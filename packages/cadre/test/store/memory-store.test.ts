import { test } from "node:test";
import { memoryStore } from "#src/store/memory-store.ts";
import { storeConformance } from "#src/testing/store-conformance.ts";

storeConformance({
  test,
  createStore: () => memoryStore(),
  notApplicable: [
    { check: "S-29", reason: "a memory store ends with its process" },
    { check: "S-30", reason: "a memory store has one connection" },
  ],
});
