import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";

import { runHere, temporaryFolder } from "./run-cli.ts";

const commands = [
  ["demo"],
  ["graph"],
  ["run"],
  ["publish"],
  ["tail"],
  ["history"],
  ["replay"],
  ["dead-letters", "list"],
  ["dead-letters", "show"],
  ["dead-letters", "redrive"],
  ["dead-letters", "purge"],
  ["groups", "list"],
  ["groups", "delete"],
  ["agents"],
  ["tasks", "list"],
  ["tasks", "show"],
  ["state"],
  ["projections"],
  ["schemas"],
  ["schemas", "export"],
  ["schemas", "check"],
  ["schemas", "used"],
];

test("help names every command, and fits 60 columns", async (context) => {
  const cwd = temporaryFolder(context);
  const { code, stdout, stderr } = await runHere(["--help"], { cwd, env: { COLUMNS: "60" } });
  assert.equal(code, 0);
  assert.equal(stderr, "");
  for (const [name = ""] of commands) assert.match(stdout, new RegExp(`^  ${name} `, "m"));
  for (const line of stdout.split("\n")) assert.ok(line.length <= 60, line);
});

test("help of every command has examples of that command", async (context) => {
  const cwd = temporaryFolder(context);
  for (const words of commands) {
    const { code, stdout } = await runHere([...words, "--help"], { cwd, env: { COLUMNS: "60" } });
    assert.equal(code, 0, words.join(" "));
    const [flags = "", examples = ""] = stdout.split("\nExamples:\n");
    assert.match(examples, new RegExp(`cadre ${words[0]}`));
    for (const line of flags.split("\n")) assert.ok(line.length <= 60, line);
  }
});

test("a wrong command or flag names the nearest right one and ends with 2", async (context) => {
  const cwd = temporaryFolder(context);
  const cases: [string[], RegExp][] = [
    [["taks"], /unknown command 'taks'\n\(Did you mean tasks\?\)/],
    [["dead-leters"], /Did you mean dead-letters\?/],
    [["dead-letters", "redrvie"], /no command "redrvie"\. Did you mean redrive\?/],
    [["tasks", "shw", "t-1"], /no command "shw"\. Did you mean show\?/],
    [["history", "--lmit", "3"], /unknown option '--lmit'\n\(Did you mean --limit\?\)/],
    [["tasks", "--jsno"], /Did you mean --json\?/],
    [["run", "team.ts", "--stor", "memory:"], /Did you mean --store\?/],
  ];
  for (const [args, expected] of cases) {
    const { code, stdout, stderr } = await runHere(args, { cwd });
    assert.equal(code, 2, args.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, expected);
  }
});

test("an impossible value is refused with what is allowed", async (context) => {
  const cwd = temporaryFolder(context);
  const cases: [string[], RegExp][] = [
    [["history", "--limit", "0"], /whole number of at least 1/],
    [["history", "--since", "yesterday"], /--since is "yesterday"\. Give a time ago/],
    [["tasks", "--status", "done"], /Give one of waiting, offered/],
    [["publish", "a.b", "{a}"], /The payload is no JSON/],
    [["publish", "a..b"], /INVALID_TOPIC/],
    [["publish"], /missing required argument 'type'/],
    [["tail", "#.#.#.#.#"], /INVALID_PATTERN/],
    [["tail", "--filter", '{"payload.a":{"$near":1}}'], /\$near/],
    [["dead-letters", "purge"], /Give the ids of dead letters, or --all/],
    [["tail", "--store", "memory:"], /memory: lives and ends with its process/],
    [["tasks", "--store", "mongodb://x"], /store is "mongodb:\/\/x" \(--store\)\. Give a URL/],
  ];
  for (const [args, expected] of cases) {
    const { code, stdout, stderr } = await runHere(args, { cwd });
    assert.equal(code, 2, `${args.join(" ")}: ${stderr}`);
    assert.equal(stdout, "");
    assert.match(stderr, expected);
  }
});

test("what reads a store that isn't there ends with 3, and makes none", async (context) => {
  const cwd = temporaryFolder(context);
  for (const args of [["tasks"], ["history"], ["agents"], ["replay"], ["dead-letters"]]) {
    const { code, stderr } = await runHere(args, { cwd });
    assert.equal(code, 3, args.join(" "));
    assert.match(stderr, /There is no store at .*team\.db\. Start a team with "cadre run FILE"/);
  }
  const { code } = await runHere(["run", "nowhere.ts"], { cwd });
  assert.equal(code, 3);
});

test("a file that is no store ends with 4", async (context) => {
  const cwd = temporaryFolder(context);
  writeFileSync(`${cwd}/team.db`, "this is not a database at all".repeat(100));
  const { code, stderr } = await runHere(["tasks", "--store", "sqlite:./team.db"], { cwd });
  assert.equal(code, 4);
  assert.match(stderr, /STORE_CORRUPT/);
});

test("the demonstration says what to install where it is missing", async (context) => {
  if (await deskIsThere()) {
    context.diagnostic("archive-desk is installed here; its own tests run it");
    return;
  }
  const cwd = temporaryFolder(context);
  const { code, stderr } = await runHere(["demo"], { cwd });
  assert.equal(code, 2);
  assert.match(stderr, /npm install archive-desk/);
});

async function deskIsThere(): Promise<boolean> {
  const name = "archive-desk";
  return import(name).then(
    () => true,
    () => false,
  );
}

test("schemas shows types, one type's schema, and the nearest name", async (context) => {
  const cwd = temporaryFolder(context);
  const all = await runHere(["schemas", "task.c*", "--json"], { cwd });
  assert.equal(all.code, 2, "a wildcard is a whole word");
  const tasks = await runHere(["schemas", "task.*"], { cwd, env: { COLUMNS: "60" } });
  assert.match(tasks.stdout, /^task\.created +1\.0\.0 +\S/m);
  for (const line of tasks.stdout.split("\n")) assert.ok(line.length <= 60, line);
  const one = await runHere(["schemas", "task.created", "--json"], { cwd });
  const info = JSON.parse(one.stdout) as { type: string; schema: { required: string[] } };
  assert.equal(info.type, "task.created");
  assert.ok(info.schema.required.includes("taskId"));
  const wrong = await runHere(["schemas", "task.creatd"], { cwd });
  assert.equal(wrong.code, 3);
  assert.match(wrong.stderr, /Did you mean task\.created\?/);
});
