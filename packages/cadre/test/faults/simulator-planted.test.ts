/**
 * Three mistakes that look harmless are planted; the simulator finds each in few seeds, and says
 * with few faults how it comes about.
 */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import type { Finding, Search } from "./simulator-planted-member.ts";

const member = fileURLToPath(new URL("simulator-planted-member.ts", import.meta.url));

async function find(search: Search): Promise<Finding> {
  const running = fork(member, [JSON.stringify(search)]);
  const ended = once(running, "exit");
  const [message] = await Promise.race([
    once(running, "message"),
    ended.then(([code]) => assert.fail(`the searching process ended with ${code}`)),
  ]);
  await ended;
  assert.notEqual(message, "nothing", `not found in ${search.maxSeeds} seeds`);
  return message as Finding;
}

for (const { mistake, maxSeeds, shown } of [
  { mistake: "ack before the effect", maxSeeds: 50, shown: /sentence \d+ was \w+ 0 times/ },
  { mistake: "lease without fencing", maxSeeds: 200, shown: /only the owner writes: task/ },
  { mistake: "checkpoint apart", maxSeeds: 50, shown: /row of \w+ says \d+, and \d+ were sold/ },
] as const) {
  test(`${mistake}: is found within ${maxSeeds} seeds, and again by few faults`, async (t) => {
    const found = await find({ mistake, maxSeeds, shortenRuns: 200 });
    t.diagnostic(`seed ${found.seed}: ${found.schedule.length} of ${found.faults} faults`);
    assert.match(found.message, shown);
    assert.ok(found.schedule.length <= 4, found.message);
    assert.ok(found.playsAgain, found.message);
  });
}
