/**
 * Real processes on one SQLite file: the author, the voters and whoever else decides are killed
 * with SIGKILL again and again, while proposals of every kind are decided. In the end each has one
 * outcome, and each effect its approval.
 *
 * CADRE_PROPOSALS sets the proposals of each kind (12 unless set), CADRE_KILL_MS for how long it is
 * killed (15 s unless set).
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { systemClock } from "cadre";
import { startCadre } from "cadre/agents";
import { checkLog } from "#src/testing/sim-invariants.ts";
import { Act, type ActKind, type MemberPart } from "./proposals-member.ts";

const member = fileURLToPath(new URL("proposals-member.ts", import.meta.url));
const each = Number(process.env["CADRE_PROPOSALS"] ?? 12);
const killMs = Number(process.env["CADRE_KILL_MS"] ?? 15_000);
const leastKills = 9; // each part three times, however slow the machine is
const results: Readonly<Record<ActKind, string>> = {
  approved: "approved",
  vetoed: "vetoed",
  window: "approved",
  debated: "south",
  validated: "fine",
};
const kinds = Object.keys(results) as ActKind[];
const parts: readonly MemberPart[] = ["author", "voters", "decider"];

test("nobody who is killed gives a proposal two outcomes, or none", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "cadre-proposals-"));
  const [store, effects] = [`sqlite:${join(folder, "team.db")}`, join(folder, "effects")];
  const running = new Map<MemberPart, ChildProcess>();
  const start = async (part: MemberPart): Promise<void> => {
    const child = fork(member, [part, store, effects]);
    running.set(part, child);
    await once(child, "message");
  };
  t.after(() => {
    for (const child of running.values()) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  // The client's own keeper decides as well: it is one of many.
  const client = await startCadre({ name: "client", store, heartbeatMs: 100, leaseMs: 1_000 });
  t.after(() => client.close({ deadlineMs: 1_000 }));
  for (const part of parts) await start(part);
  const handles = [];
  for (let n = 0; n < each; n += 1) {
    for (const kind of kinds) {
      const id = `${kind}-${n}`;
      handles.push({ kind, task: await client.tasks.create(Act, { kind, n }, { id }) });
    }
  }
  let kills = 0;
  const until = systemClock.monotonic() + killMs;
  while (systemClock.monotonic() < until || kills < leastKills) {
    const part = parts[kills % parts.length]!;
    await systemClock.sleep(150 + ((kills * 97) % 400));
    const child = running.get(part)!;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
    kills += 1;
    await start(part);
  }
  for (const { kind, task } of handles) {
    assert.equal(await task.result({ timeoutMs: 120_000 }), results[kind], task.id);
  }
  const log = [];
  for await (const stored of client.store.read()) log.push(stored);
  const { violations } = checkLog(log);
  assert.deepEqual(
    violations.filter(({ invariant }) => invariant === "proposals"),
    [],
  );
  const outcomes = log.filter(({ event }) => /^action\.(approved|vetoed|expired)/.test(event.type));
  assert.equal(outcomes.length, each * kinds.length);
  const lines = existsSync(effects) ? readFileSync(effects, "utf8").trim().split("\n").sort() : [];
  const expected = ["approved", "window"]
    .flatMap((kind) => Array.from({ length: each }, (_, n) => `${kind}-${n}/do`))
    .sort();
  assert.deepEqual(lines, expected);
  t.diagnostic(JSON.stringify({ kills, proposals: outcomes.length, events: log.length }));
});
