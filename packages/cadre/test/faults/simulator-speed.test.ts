/**
 * How much time the simulator simulates in an hour of CPU: a team of ten agents under load. Each
 * row runs in a process of its own: node's test runner follows every promise, which takes longer
 * than the simulation.
 *
 * CADRE_SPEED_MINUTES sets the virtual minutes of each row (60 unless set).
 */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import type { Load, Speed } from "./simulator-speed-member.ts";

const member = fileURLToPath(new URL("simulator-speed-member.ts", import.meta.url));
const minutes = Number(process.env["CADRE_SPEED_MINUTES"] ?? 60);

async function measure(load: Load): Promise<Speed> {
  const running = fork(member, [JSON.stringify(load)]);
  const ended = once(running, "exit");
  const [speed] = await Promise.race([
    once(running, "message"),
    ended.then(([code]) => assert.fail(`the measuring process ended with ${code}`)),
  ]);
  await ended;
  return speed as Speed;
}

// The least is what must hold on a shared machine, too.
for (const { what, processes, everyMs, least } of [
  {
    what: "in two processes, a task every five seconds",
    processes: 2,
    everyMs: 5_000,
    least: 1_000,
  },
  { what: "in two processes, a task every two seconds", processes: 2, everyMs: 2_000, least: 700 },
  { what: "in two processes, a task a second", processes: 2, everyMs: 1_000, least: 400 },
  {
    what: "in ten processes, a task every ten seconds",
    processes: 10,
    everyMs: 10_000,
    least: 500,
  },
]) {
  test(`ten agents ${what}: at least ${least} hours an hour of CPU`, async (t) => {
    const speed = await measure({ processes, everyMs, minutes });
    t.diagnostic(JSON.stringify(speed));
    assert.equal(speed.tasksCompleted, speed.tasksCreated);
    assert.ok(speed.tasksCreated >= (minutes * 60_000) / everyMs);
    assert.ok(speed.hours >= least, `only ${speed.hours} hours an hour of CPU`);
  });
}
