import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { systemClock, type } from "cadre";
import { defineTask, startCadre, type Cadre } from "cadre/agents";
import { parseComing } from "#src/cli/time-text.ts";
import { jsonLines, runHere, temporaryFolder, type CliOptions } from "./run-cli.ts";

const Report = defineTask({ name: "report", input: type<string>(), output: type<string>() });
const hourMs = 3_600_000;

/** A team with three schedules that are not due soon. */
async function scheduled(
  context: TestContext,
): Promise<{ team: Cadre; now: number; options: CliOptions }> {
  const cwd = temporaryFolder(context);
  const store = `sqlite:${join(cwd, "team.db")}`;
  const team = await startCadre({ store, heartbeatMs: 100, leaseMs: 2_000 });
  context.after(() => team.close({ deadlineMs: 500 }));
  const now = systemClock.now();
  const { schedules } = team;
  const tick = { event: "custom.tick", payload: {} };
  await schedules.cron(
    "yearly-report",
    "0 9 1 1 *",
    { task: Report, input: "all" },
    {
      timeZone: "Europe/Berlin",
      missed: "all",
    },
  );
  await schedules.every("beat", 6 * hourMs, tick);
  await schedules.at("launch", now + 3 * hourMs, tick);
  return { team, now, options: { cwd, env: { CADRE_STORE: store } } };
}

test("schedules are listed, what is due next first", async (context) => {
  const { options } = await scheduled(context);
  const { code, stdout, stderr } = await runHere(["schedules"], options);
  assert.equal(code, 0, stderr);
  const [titles, ...rows] = stdout.trimEnd().split("\n");
  assert.match(titles ?? "", /^id +due +fires +missed +fired +next$/);
  assert.match(rows[0] ?? "", /^launch +at .* custom\.tick +once +0 +in 3 h$/);
  assert.match(rows[1] ?? "", /^beat +every 6 h +custom\.tick +once +0 +in 6 h$/);
  assert.match(
    rows[2] ?? "",
    /^yearly-report +0 9 1 1 \* Europe\/Berlin +task report +all +0 +in /,
  );
  const limited = await runHere(["schedules", "list", "--limit", "1"], options);
  assert.match(limited.stderr, /The next 1 of 3/);
  const ids = jsonLines((await runHere(["schedules", "--json"], options)).stdout).map(
    ({ id }) => id,
  );
  assert.deepEqual(ids, ["launch", "beat", "yearly-report"]);
});

test("a narrow list keeps what matters within the width", async (context) => {
  const { options } = await scheduled(context);
  const narrow = { ...options, env: { ...options.env, COLUMNS: "44" } };
  const { stdout } = await runHere(["schedules"], narrow);
  const lines = stdout.trimEnd().split("\n");
  for (const line of lines) assert.ok(line.length <= 44, line);
  assert.match(lines[0] ?? "", /^id +due +fires +next$/);
  assert.match(lines[1] ?? "", /^launch .* in 3 h$/);
});

test("a schedule is moved and cancelled from the command line, and the team heeds it", async (context) => {
  const { team, options } = await scheduled(context);
  const moved = await runHere(["schedules", "move", "yearly", "2h"], options);
  assert.equal(moved.code, 0, moved.stderr);
  assert.match(moved.stdout, /^yearly-report is due at .*, in 2 h\.$/m);
  const [first] = await team.schedules.list();
  assert.equal(first?.id, "yearly-report");
  const cancelled = await runHere(["schedules", "cancel", "beat", "--reason", "rest"], options);
  assert.equal(cancelled.code, 0, cancelled.stderr);
  assert.equal(await team.schedules.get("beat"), undefined);
  const [json] = jsonLines(
    (await runHere(["schedules", "cancel", "launch", "--json"], options)).stdout,
  );
  assert.deepEqual(json, { id: "launch", cancelled: true });
  // The running team fires what was moved to soon.
  const heard = new Promise((resolve) => {
    void team.bus.subscribe("task.created", (event) => resolve(event.payload));
  });
  assert.equal((await runHere(["schedules", "move", "yearly-report", "50ms"], options)).code, 0);
  assert.equal(((await heard) as { name: string }).name, "report");
});

test("what isn't there, isn't clear, or has passed is refused", async (context) => {
  const { team, now, options } = await scheduled(context);
  await team.schedules.at("landing", now + hourMs, { event: "custom.tick", payload: {} });
  const run = (...args: string[]): ReturnType<typeof runHere> =>
    runHere(["schedules", ...args], options);
  const missing = await run("cancel", "none");
  assert.equal(missing.code, 3);
  assert.match(missing.stderr, /no open schedule "none"/);
  assert.match((await run("cancel", "la")).stderr, /stands for 2 schedules: landing, launch/);
  assert.match((await run("move", "launch", "soon")).stderr, /from now/);
  assert.match((await run("move", "launch", "2020-01-01")).stderr, /passed/);
  assert.match((await run("cancle", "launch")).stderr, /Did you mean cancel/);
  assert.equal((await team.schedules.list()).length, 4);
});

test("an empty list says so, and an instant to come is read in three ways", async (context) => {
  const { team, options } = await scheduled(context);
  for (const { id } of await team.schedules.list()) await team.schedules.cancel(id);
  assert.match((await runHere(["schedules"], options)).stderr, /No schedule is open/);
  assert.equal(parseComing("WHEN", "90s", 1_000), 91_000);
  assert.equal(parseComing("WHEN", "1700000000000", 0), 1_700_000_000_000);
  assert.equal(parseComing("WHEN", "2026-03-29T01:00Z", 0), Date.parse("2026-03-29T01:00Z"));
});
