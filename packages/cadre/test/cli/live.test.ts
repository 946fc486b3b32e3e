import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { systemClock, type } from "cadre";
import { defineAgent, defineTask, startCadre, type AgentActivity, type Cadre } from "cadre/agents";
import { jsonLines, runCli, runHere, startCli, temporaryFolder } from "./run-cli.ts";

const Greet = defineTask({
  name: "greet",
  input: type<{ readonly name: string }>(),
  output: type<string>(),
  maxAttempts: 1,
});

const greeter = defineAgent({ name: "greeter", capacity: 2 })
  .does(Greet, ({ name }) => {
    if (name === "Nobody") throw new Error("nobody is there");
    return `Hello, ${name}!`;
  })
  .on("custom.order", { retry: { maxAttempts: 1 } }, (event) => {
    if ((event.payload as { bad?: boolean }).bad) throw new Error("a bad order");
  });

interface Live {
  readonly cwd: string;
  readonly team: Cadre;
  readonly env: { readonly CADRE_STORE: string };
}

/** A team on a store, in the process of the test. */
async function live(context: TestContext): Promise<Live> {
  const cwd = temporaryFolder(context);
  const store = `sqlite:${join(cwd, "team.db")}`;
  const team = await startCadre({ agents: [greeter], store, heartbeatMs: 100, leaseMs: 2_000 });
  context.after(() => team.close({ deadlineMs: 500 }));
  return { cwd, team, env: { CADRE_STORE: store } };
}

test("tasks and agents of a running team are listed as text and JSON", async (context) => {
  const { cwd, team, env } = await live(context);
  await (await team.tasks.create(Greet, { name: "Ada" }, { id: "greet-ada" })).result();
  await assert.rejects((await team.tasks.create(Greet, { name: "Nobody" })).result());

  const listed = await runCli(["tasks"], { cwd, env });
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, /^id +task +status +agent +try +epoch +changed$/m);
  assert.match(listed.stdout, /^greet-ada +greet +completed +greeter +1 +1 +/m);
  const failed = jsonLines(
    (await runCli(["tasks", "--status", "failed", "--json"], { cwd, env })).stdout,
  );
  assert.equal(failed.length, 1);
  assert.equal(failed[0]?.["agent"], "greeter");
  assert.deepEqual(
    jsonLines((await runCli(["tasks", "--json"], { cwd, env })).stdout).map((task) => task["id"]),
    (await team.tasks.list()).map((task) => task.id),
  );

  const shown = await runCli(["tasks", "show", "ada"], { cwd, env });
  assert.equal(shown.code, 0);
  assert.match(shown.stdout, /^result +"Hello, Ada!"$/m);
  assert.match(
    shown.stdout,
    /task\.created.*\n.*task\.claimed.*\n.*task\.started.*\n.*task\.completed/,
  );
  const missing = await runCli(["tasks", "show", "nothing-like-it"], { cwd, env });
  assert.equal(missing.code, 3);

  const agents = await runCli(["agents"], { cwd, env });
  assert.match(agents.stdout, /^greeter +online +running +0\/2 +\d+ ms +\d+ +greet$/m);
  const [card] = jsonLines(
    (await runCli(["agents", "--watch", "0", "--json"], { cwd, env })).stdout,
  );
  assert.equal(card?.["seen"], "unwatched");
  assert.equal(card?.["pid"], process.pid);
});

test("agents are paused, resumed and restarted from outside", async (context) => {
  const { cwd, team, env } = await live(context);
  const paused = await runHere(["agents", "pause", "greeter", "--reason", "lunch"], { cwd, env });
  assert.equal(paused.code, 0, paused.stderr);
  assert.match(paused.stderr, /Every process that runs greeter obeys within a heartbeat/);
  const stateIs = async (state: AgentActivity): Promise<void> => {
    const agent = "greeter";
    while (team.directory.find({ agent, state }).length === 0) await systemClock.sleep(20);
  };
  await stateIs("paused");
  assert.match((await runHere(["agents"], { cwd, env })).stdout, /^greeter +online +paused +0\/2/m);
  await runHere(["agents", "resume", "greeter"], { cwd, env });
  await stateIs("running");
  const restarted = await runHere(["agents", "restart", "greeter", "--json"], { cwd, env });
  assert.equal(jsonLines(restarted.stdout)[0]?.["restarts"], 1);
  const nobody = await runHere(["agents", "drain", "nobody"], { cwd, env });
  assert.match(nobody.stderr, /No agent named nobody has a card/);
  const unclear = await runHere(["agents", "sleep", "greeter"], { cwd, env });
  assert.equal(unclear.code, 2);
});

test("what is published is heard by the team and by tail, and is history", async (context) => {
  const { cwd, team, env } = await live(context);
  const heard = Promise.withResolvers<unknown>();
  await team.bus.subscribe("custom.#", (event) => heard.resolve(event.payload));
  const tail = startCli(["tail", "custom.#"], { cwd, env });
  const lines = startCli(["tail", "custom.#", "--json", "--limit", "2"], { cwd, env });
  await tail.shows("Following custom.#");

  // Two, as the second tail may have begun between them; --limit then ends it or Ctrl-C does.
  const first = await runCli(["publish", "custom.hello", '{"n":1}', "--source", "me"], {
    cwd,
    env,
  });
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /^Published custom\.hello [0-9a-f-]{36}\n$/);
  assert.deepEqual(await heard.promise, { n: 1 });
  await tail.shows('custom.hello              me            {"n":1}');
  tail.child.kill("SIGINT");
  const ended = await tail.ended;
  assert.equal(ended.code, 0);
  lines.child.kill("SIGINT");
  assert.equal((await lines.ended).code, 0);

  const piped = await runCli(["publish", "custom.hello", "-", "--json"], {
    cwd,
    env,
    input: '{"n":2}',
  });
  assert.deepEqual(JSON.parse(piped.stdout).payload, { n: 2 });
  const history = await runCli(["history", "--type", "custom.*", "--backward", "--json"], {
    cwd,
    env,
  });
  assert.deepEqual(
    jsonLines(history.stdout).map((event) => event["payload"]),
    [{ n: 2 }, { n: 1 }],
  );
  const filtered = await runCli(["history", "--filter", '{"payload.n":2}', "--json"], { cwd, env });
  assert.equal(jsonLines(filtered.stdout).length, 1);
  const bySource = await runCli(["history", "--source", "me", "--json"], { cwd, env });
  assert.equal(jsonLines(bySource.stdout).length, 1);
});

test("a payload that does not fit is refused, an unknown type taken with a remark", async (context) => {
  const { cwd, env } = await live(context);
  const refused = await runCli(["publish", "task.created", "{}"], { cwd, env });
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /INVALID_PAYLOAD/);
  const taken = await runCli(["publish", "task.creatd", "{}"], { cwd, env });
  assert.equal(taken.code, 0);
  assert.match(taken.stderr, /Did you mean task\.created\?/);
});

test("dead letters are listed, shown, redriven edited, and purged", async (context) => {
  const { cwd, team, env } = await live(context);
  const dead = async (count: number): Promise<Record<string, unknown>[]> => {
    for (let tries = 0; tries < 100; tries += 1) {
      const found = [];
      for await (const letter of team.bus.deadLetters.list()) found.push(letter);
      if (found.length === count) return found as unknown as Record<string, unknown>[];
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`there were never ${count} dead letters`);
  };
  for (const n of [1, 2]) {
    await runCli(["publish", "custom.order", JSON.stringify({ bad: true, n })], { cwd, env });
  }
  const [letter] = await dead(2);
  const id = String(letter?.["id"]);
  const listed = await runCli(["dead-letters"], { cwd, env });
  assert.match(
    listed.stdout,
    /^agent\.greeter +\S+ +custom\.order +attempts \(1\) +.*a bad order$/m,
  );
  const json = jsonLines((await runCli(["dead-letters", "list", "--json"], { cwd, env })).stdout);
  assert.deepEqual(
    json.map((each) => each["id"]),
    (await dead(2)).map((each) => each["id"]),
  );
  const shown = await runCli(["dead-letters", "show", id.slice(-10)], { cwd, env });
  assert.match(shown.stdout, /^reason +attempts, at attempt 1$/m);

  const again = await runCli(["dead-letters", "redrive", id, "--payload", '{"n":3}'], { cwd, env });
  assert.equal(again.stdout, "1 dead letter redriven.\n", again.stderr);
  await dead(1);
  const purged = await runCli(["dead-letters", "purge", "--all"], { cwd, env });
  assert.equal(purged.stdout, "1 dead letter purged.\n");
  await dead(0);
  assert.equal((await runCli(["dead-letters", "show", id], { cwd, env })).code, 3);
  assert.equal((await runCli(["dead-letters", "redrive", id], { cwd, env })).code, 3);
});

test("replay feeds a module's handler, and republishes only with --yes", async (context) => {
  const { cwd, env } = await live(context);
  const seen = join(cwd, "seen.txt");
  writeFileSync(
    join(cwd, "rebuild.ts"),
    `import { appendFileSync } from "node:fs";
     export function handler(event) {
       const mark = event.metadata.replayOf ? "r " : " ";
       appendFileSync(${JSON.stringify(seen)}, event.payload.n + mark);
       if (event.payload.n === 9) throw new Error("no nines");
     }`,
  );
  for (const n of [1, 2])
    await runCli(["publish", "custom.n", JSON.stringify({ n })], { cwd, env });
  const fed = await runCli(["replay", "--type", "custom.#", "--to", "rebuild.ts"], { cwd, env });
  assert.equal(fed.stdout, "Replayed 2 events.\n", fed.stderr);
  assert.equal(readFileSync(seen, "utf8"), "1r 2r ");

  const asked = await runCli(["replay", "--type", "custom.#", "--republish"], { cwd, env });
  assert.equal(asked.code, 2);
  assert.match(asked.stderr, /would publish 2 events again.*--yes/s);
  const done = await runCli(["replay", "--type", "custom.#", "--republish", "--yes"], { cwd, env });
  assert.equal(done.stdout, "Republished 2 events.\n");
  const history = await runCli(["history", "--type", "custom.#", "--json"], { cwd, env });
  assert.equal(jsonLines(history.stdout).length, 4);

  await runCli(["publish", "custom.n", '{"n":9}'], { cwd, env });
  const failed = await runCli(["replay", "--type", "custom.#", "--to", "rebuild.ts"], { cwd, env });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /stopped at custom\.n [0-9a-f-]+, after 4 events/);
  assert.match(failed.stderr, /no nines/);
});
