import assert from "node:assert/strict";
import { test } from "node:test";
import { secureRandom } from "#src/core/random.ts";
import { findChanges, passGoodLogs } from "../drivers/sqlite/audit-rounds.ts";

const seed = Number(process.env["CADRE_SEED"] ?? secureRandom.integer(2 ** 32));

test("of 1,000 single changes to sealed files all are found, each at its place", async (t) => {
  const found = await findChanges(seed, 1_000);
  t.diagnostic(`seed ${seed}: ${JSON.stringify(Object.fromEntries(found))}`);
  assert.equal(
    [...found.values()].reduce((sum, count) => sum + count, 0),
    1_000,
  );
});

test("100 good files raise no alarm", async (t) => {
  t.diagnostic(`seed ${seed}: ${await passGoodLogs(seed, 100)} rows`);
});
