/** Reports of the suites, put together and compared. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  countsOf,
  differences,
  merge,
  outcomeOf,
  reasonOf,
} from "../scripts/conformance-report.ts";

const result = (id: string, outcome: "passed" | "failed" | "not applicable", reason?: string) => ({
  id,
  outcome,
  ...(reason === undefined ? {} : { reason }),
});

test("what one suite has shown counts beside another that could not, and a failure most", () => {
  const noWay = "the caller gave no way to freeze it";
  const table = merge([
    { transport: "a", results: [result("T-1", "passed"), result("T-2", "not applicable", noWay)] },
    { transport: "a", results: [result("T-2", "passed"), result("T-1", "failed", "at 10:04")] },
    { transport: "b", results: [result("T-1", "not applicable", "no disk: none here")] },
  ]);
  assert.deepEqual(table, {
    a: { "T-1": "failed", "T-2": "passed" },
    b: { "T-1": "not applicable: no disk: none here" },
  });
  assert.equal(outcomeOf(table["b"]["T-1"]), "not applicable");
  assert.equal(reasonOf(table["b"]["T-1"]), "no disk: none here");
  assert.deepEqual(countsOf(table["a"]), {
    passed: 1,
    emulated: 0,
    refused: 0,
    failed: 1,
    "not applicable": 0,
  });
});

test("a run that found something else than what is kept says so", () => {
  const kept = { a: { "T-1": "passed", "T-2": "passed", "T-3": "refused: not declared" } };
  assert.deepEqual(differences({ a: { "T-1": "passed" } }, kept), []);
  const noWay = "not applicable: the caller gave no way to restart the carrier";
  assert.deepEqual(differences({ a: { "T-2": noWay } }, kept), []);
  assert.deepEqual(differences({ a: { "T-3": "passed" }, b: { "T-1": "passed" } }, kept), [
    "a T-3: passed; the page has refused: not declared",
    "b T-1: passed; the page has nothing",
  ]);
});
