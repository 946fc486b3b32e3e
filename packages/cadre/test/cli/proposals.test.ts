import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { systemClock, type } from "cadre";
import {
  defineAgent,
  defineTask,
  startCadre,
  type Cadre,
  type DebateResult,
  type ProposalState,
} from "cadre/agents";
import { jsonLines, runCli, runHere, temporaryFolder } from "./run-cli.ts";

const Release = defineTask({ name: "release", input: type<string>(), output: type<string>() });
const Ask = defineTask({ name: "ask", output: type<DebateResult>() });
const hourMs = 3_600_000;

async function live(
  context: TestContext,
): Promise<{ team: Cadre; options: Parameters<typeof runCli>[1] }> {
  const cwd = temporaryFolder(context);
  const store = `sqlite:${join(cwd, "team.db")}`;
  const releaser = defineAgent({ name: "releaser" })
    .does(Release, async (version, ctx) => {
      const voters = { role: "manager" };
      const what = { action: "deploy", content: { version } };
      const decision = await ctx.propose(what, { voters, deadlineMs: hourMs });
      return `${decision.status}: ${JSON.stringify(decision.content)}`;
    })
    .does(Ask, (_input, ctx) =>
      ctx.debate("tea or coffee?", {
        name: "topic",
        debaters: [{ person: "ana" }, { person: "ben" }],
        judges: [{ person: "eve" }],
        rounds: 1,
        deadlineMs: hourMs,
      }),
    );
  const people = [{ name: "ana", roles: ["manager"] }];
  const team = await startCadre({ agents: [releaser], people, store });
  context.after(() => team.close({ deadlineMs: 500 }));
  return { team, options: { cwd, env: { CADRE_STORE: store, COLUMNS: "60" } } };
}

async function reaches(
  team: Cadre,
  id: string,
  isThere: (state: ProposalState) => boolean,
): Promise<ProposalState> {
  for (let tries = 0; tries < 400; tries += 1) {
    const state = await team.proposals.get(id);
    if (state && isThere(state)) return state;
    await systemClock.sleep(25);
  }
  return assert.fail(`${id} is ${JSON.stringify(await team.proposals.get(id))}`);
}

test("a proposal is listed, shown, edited and approved from the command line", async (context) => {
  const { team, options } = await live(context);
  const task = await team.tasks.create(Release, "2.0", { id: "r1" });
  const { contentHash } = await reaches(team, "r1.deploy", ({ status }) => status === "open");
  const listed = await runCli(["proposals"], options);
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, /^r1\.deploy +deploy +releaser +open +0 +in 60 min$/m);
  const shown = await runHere(["proposals", "show", "deploy"], options);
  assert.match(shown.stdout, /^content +\{"version":"2\.0"\}$/m);
  assert.match(shown.stdout, /^because +task release \(r1\)$/m);
  assert.match(shown.stdout, /^voters +any manager; needs 1$/m);
  assert.match(shown.stdout, /^not these +releaser$/m);
  for (const line of shown.stdout.split("\n")) assert.ok(line.length <= 60, line);
  const roles = ["proposals", "people", "ben", "--role", "manager"];
  assert.equal((await runHere(roles, options)).code, 0);
  const edit = ["proposals", "amend", "r1.deploy", '{"version":"2.1"}', "--as", "ben"];
  assert.match((await runHere(edit, options)).stdout, /revision 2,\s+sha256:/);
  const approve = ["proposals", "approve", "r1.deploy", "--as"];
  const stale = await runHere([...approve, "ana", "--hash", contentHash], options);
  assert.deepEqual([stale.code, /VOTE_REFUSED/.test(stale.stderr)], [1, true]);
  const own = await runHere([...approve, "releaser"], options);
  assert.match(own.stderr, /has worked on it/);
  const stranger = await runHere([...approve, "zoe"], options);
  assert.match(stranger.stderr, /is none of its voters/);
  const done = await runCli([...approve, "ana", "--reason", "tested"], options);
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /approve by ana\. It is\s+approved: 1 of 1 approved\./);
  assert.equal(await task.result({ timeoutMs: 20_000 }), 'approved: {"version":"2.1"}');
  const late = await runHere(["proposals", "reject", "r1.deploy", "--as", "ana"], options);
  assert.match(late.stdout.replaceAll("\n", " "), /came too late/);
  const [row] = jsonLines((await runHere(["proposals", "--all", "--json"], options)).stdout);
  assert.equal(row?.["status"], "approved");
  assert.match((await runHere(["proposals"], options)).stderr, /No proposal is open/);
});

test("wrong usage, and what is not there, have their exit codes", async (context) => {
  const { options } = await live(context);
  const codes = async (...args: string[]) => (await runHere(["proposals", ...args], options)).code;
  assert.equal(await codes("approve", "nothing", "--as", "ana"), 3);
  assert.equal(await codes("show", "nothing"), 3);
  assert.equal(await codes("approve", "nothing"), 2);
  assert.equal(await codes("people", "zoe"), 2);
  assert.equal(await codes("people", "zoe", "--remove"), 3);
  assert.equal(await codes("aprove"), 2);
});

test("people debate and judge from the command line", async (context) => {
  const { team, options } = await live(context);
  const task = await team.tasks.create(Ask, undefined, { id: "q" });
  await reaches(team, "q.topic", ({ status }) => status === "open");
  const said = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await runHere(["proposals", ...args], options);
    assert.equal(code, 0, stderr);
  };
  await said("speak", "q.topic", "--as", "ana", "--position", "tea", "--argument", "a secret");
  const sealed = await runHere(["proposals", "show", "q.topic"], options);
  assert.match(sealed.stdout, /ana: sealed; ben: has not opened/);
  assert.ok(!sealed.stdout.includes("a secret"));
  await said("speak", "q.topic", "--as", "ben", "--position", "coffee");
  await reaches(team, "q.topic", ({ debate }) => debate?.phase === "rounds");
  await said("reply", "q.topic", "--as", "ana", "--evidence", "it is warm");
  const empty = await runHere(["proposals", "reply", "q.topic", "--as", "ben"], options);
  assert.match(empty.stderr, /no evidence that is new/);
  await said("reply", "q.topic", "--as", "ben", "--evidence", "it wakes");
  await reaches(team, "q.topic", ({ debate }) => debate?.phase === "judging");
  await said("judge", "q.topic", "--as", "eve", "--position", "coffee");
  const { position, dissent } = await task.result({ timeoutMs: 20_000 });
  assert.deepEqual([position, dissent[0]?.debater], ["coffee", "ana"]);
});
