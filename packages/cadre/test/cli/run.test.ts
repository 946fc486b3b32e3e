import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { jsonLines, runCli, startCli, temporaryFolder } from "./run-cli.ts";

const greetingTeam = fileURLToPath(new URL("greeting-team.ts", import.meta.url));
const slowTeam = fileURLToPath(new URL("slow-team.ts", import.meta.url));
// oxlint-disable-next-line no-control-regex -- it is what must not be there
const escape = /\u001b/;

test("Ctrl-C lets running work end, prints the report and ends with 0", async (context) => {
  const cwd = temporaryFolder(context);
  const run = startCli(["run", slowTeam], { cwd, env: { SLOW_MS: "400" } });
  await run.shows("the slow one begins");
  run.child.kill("SIGINT");
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /Ending in order; Ctrl-C again ends at once\./);
  assert.match(stdout, /the slow one ends\n/);
  assert.match(stdout, /Drained cleanly in \d+ ms: 1 finished, 0 given back, 0 aborted\.\n$/);
  const tasks = jsonLines((await runCli(["tasks", "--json"], { cwd })).stdout);
  assert.equal(tasks[0]?.["status"], "completed");
});

test("a second Ctrl-C ends at once with 130; the next run goes on", async (context) => {
  const cwd = temporaryFolder(context);
  const run = startCli(["run", slowTeam], { cwd, env: { SLOW_MS: "60000" } });
  await run.shows("the slow one begins");
  run.child.kill("SIGINT");
  await run.shows("Ending in order");
  run.child.kill("SIGINT");
  assert.equal((await run.ended).code, 130);
  const again = await runCli(["run", slowTeam, "--once"], { cwd, env: { SLOW_MS: "1" } });
  assert.equal(again.code, 0, again.stderr);
  const tasks = jsonLines((await runCli(["tasks", "--json"], { cwd })).stdout);
  assert.deepEqual(
    tasks.map((task) => task["status"]),
    ["completed"],
  );
});

test("work that outlasts the deadline is given back, and the report says so", async (context) => {
  const cwd = temporaryFolder(context);
  const run = startCli(["run", slowTeam, "--deadline", "100", "--json"], {
    cwd,
    env: { SLOW_MS: "60000" },
  });
  await run.shows("the slow one begins");
  run.child.kill("SIGTERM");
  const { code, stdout } = await run.ended;
  assert.equal(code, 0);
  const last = jsonLines(stdout.slice(stdout.indexOf('{"drained"')))[0];
  assert.partialDeepStrictEqual(last, { drained: { released: 1, clean: false } });
});

test("--once ends when the work is done; a work that throws ends with 1", async (context) => {
  const cwd = temporaryFolder(context);
  const done = await runCli(["run", greetingTeam, "--once", "--json"], { cwd });
  assert.equal(done.code, 0, done.stderr);
  const [started, drained] = jsonLines(done.stdout);
  assert.deepEqual(started, {
    started: "hall",
    agents: ["greeter"],
    store: "sqlite:.cadre/team.db",
  });
  assert.partialDeepStrictEqual(drained, { drained: { clean: true } });

  const bad = `export const agents = [];
    export async function work() { throw new Error("out of tea"); }`;
  writeFileSync(join(cwd, "bad.ts"), bad);
  const failed = await runCli(["run", "bad.ts"], { cwd });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /out of tea/);
  assert.match(failed.stdout, /Drained/);

  const late = `export const agents = [];
    export function work() { setTimeout(() => { throw new Error("late tea"); }, 20); }`;
  writeFileSync(join(cwd, "late.ts"), late);
  const thrown = await runCli(["run", "late.ts"], { cwd });
  assert.equal(thrown.code, 1);
  assert.match(thrown.stderr, /late tea/);
});

test("system.shutdown from another process ends a run with 0", async (context) => {
  const cwd = temporaryFolder(context);
  const run = startCli(["run", greetingTeam], { cwd });
  await run.shows("Ctrl-C ends it in order.");
  const sent = await runCli(["publish", "system.shutdown", '{"reason":"night"}'], { cwd });
  assert.equal(sent.code, 0, sent.stderr);
  assert.equal((await run.ended).code, 0);
});

test("a module that is no team is refused with what it should export", async (context) => {
  const cwd = temporaryFolder(context);
  writeFileSync(join(cwd, "none.ts"), "export const team = 1;");
  const none = await runCli(["run", "none.ts"], { cwd });
  assert.equal(none.code, 2);
  assert.match(none.stderr, /exports no list "agents"/);
  writeFileSync(
    join(cwd, "wrong.ts"),
    "export const agents = []; export const cadre = { heartbeat: 1 };",
  );
  const wrong = await runCli(["run", "wrong.ts"], { cwd });
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /Did you mean "heartbeatMs"\?/);
  writeFileSync(join(cwd, "idle.ts"), "export const agents = [];");
  const idle = await runCli(["run", "idle.ts", "--once"], { cwd });
  assert.equal(idle.code, 2);
  assert.match(idle.stderr, /exports no function "work"/);
});

test("nothing that is piped has escape codes, and text fits 60 columns", async (context) => {
  const cwd = temporaryFolder(context);
  const env = { COLUMNS: "60", FORCE_COLOR: "1" };
  await runCli(["run", greetingTeam, "--once"], { cwd });
  await runCli(["publish", "custom.note", '{"text":"\\u001b[31m日本語テキスト日本語テキスト"}'], {
    cwd,
  });
  const commands = [
    ["tasks"],
    ["tasks", "show", "greet-ada"],
    ["history"],
    ["agents", "--watch", "0"],
    ["schemas"],
    ["replay"],
  ];
  for (const args of commands) {
    const { code, stdout, stderr } = await runCli(args, { cwd, env });
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stdout, escape);
    for (const line of stdout.split("\n"))
      assert.ok(line.length <= 60, `${args.join(" ")}: ${line}`);
  }
  const { stdout } = await runCli(["history", "--json"], { cwd });
  assert.ok(jsonLines(stdout).length >= 5, "JSON is never cut");
});

test("a reader that goes away ends the command quietly with 0", async (context) => {
  const cwd = temporaryFolder(context);
  await runCli(["run", greetingTeam, "--once"], { cwd });
  const history = startCli(["schemas", "--json"], { cwd });
  history.child.stdout?.destroy();
  const { code, stderr } = await history.ended;
  assert.equal(code, 0);
  assert.equal(stderr, "");
});
