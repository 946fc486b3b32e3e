import { test } from "node:test";
import { memoryStore } from "cadre";
import { storeConformance } from "cadre/testing";

storeConformance({
  test,
  createStore: () => memoryStore(),
  notApplicable: [
    { check: "S-29", reason: "a memory store ends with its process" },
    { check: "S-30", reason: "a memory store has one connection" },
  ],
});
