import { test } from "node:test";
import { secureRandom } from "#src/core/random.ts";
import { findChanges, passGoodLogs } from "./audit-rounds.ts";

const seed = Number(process.env["CADRE_SEED"] ?? secureRandom.integer(2 ** 32));

test("any single change to a sealed file is found, at its place", async () => {
  await findChanges(seed, 150);
});

test("a good file raises no alarm", async () => {
  await passGoodLogs(seed, 5);
});
