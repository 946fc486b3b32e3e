/** The suite can fail: each of its checks finds at least one store that is broken on purpose. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isCadreError, memoryStore } from "cadre";
import { storeChecks, storeConformance } from "cadre/testing";
import { runStoreCheck } from "#src/testing/store-conformance.ts";
import { broken, brokenStores } from "./broken-stores.ts";

const check = (id: string) => storeChecks.find((each) => each.id === id)!;

for (const { what, change, foundBy } of brokenStores) {
  test(`a store that ${what} is found by ${foundBy.join(", ")}`, async () => {
    for (const id of foundBy) {
      const run = runStoreCheck(check(id), {
        createStore: () => broken(change),
        reopen: async () => memoryStore(),
        ...(id === "S-30" ? { peer: async () => memoryStore() } : {}),
        boundMs: 100,
      });
      await assert.rejects(
        run,
        (error) => error instanceof Error && error.name !== "TypeError",
        id,
      );
    }
  });
}

test("a store behind the same wrapper that is not broken passes", async () => {
  for (const each of storeChecks) {
    if (!each.needs) await runStoreCheck(each, { createStore: () => broken(() => ({})) });
  }
});

test("every check of the suite finds some broken store", () => {
  const finders = new Set(brokenStores.flatMap(({ foundBy }) => foundBy));
  assert.deepEqual(
    storeChecks.map(({ id }) => id).filter((id) => !finders.has(id)),
    [],
  );
});

test("a failure names its check and the seed that repeats it", async () => {
  const change = brokenStores[0]!.change;
  const run = runStoreCheck(check("S-01"), { createStore: () => broken(change) });
  await assert.rejects(run, /^AssertionError.*: S-01 \(run it again with CADRE_SEED=\d+\)/s);
});

test("a check that does not apply says why; one that does not exist is refused", () => {
  const numbers = storeChecks.map(({ id }) => Number(id.slice(2)));
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
  );
  const names: string[] = [];
  const options = { test: (name: string) => names.push(name), createStore: () => memoryStore() };
  storeConformance({ ...options, notApplicable: [{ check: "S-29", reason: "it forgets" }] });
  assert.equal(names.length, storeChecks.length);
  assert.ok(names.some((name) => /^S-29 .* — not applicable: it forgets$/.test(name)));
  assert.ok(
    names.some((name) => /^S-30 .* — not applicable: the caller gave no `peer`$/.test(name)),
  );
  assert.throws(
    () => storeConformance({ ...options, notApplicable: [{ check: "S-99", reason: "x" }] }),
    (error) => isCadreError(error, "INVALID_OPTION"),
  );
});
