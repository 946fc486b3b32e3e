/** The software team does what its README says, whatever is killed. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { findMerge, merge, unmerge } from "../examples/software-team/release.ts";
import { Repository } from "../examples/software-team/repository.ts";
import { normalOutput } from "../scripts/tidy/output-comment.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const example = join(root, "examples", "software-team");
const program = join(example, "main.ts");
const env = { ...process.env, NODE_TEST_CONTEXT: undefined, NO_COLOR: "1" };
const timeoutMs = 280_000; // half a minute on a machine that does nothing else

interface Report {
  readonly head: string;
  readonly tree: string;
  readonly commits: number;
  readonly tags: readonly string[];
  readonly undone: readonly string[];
  readonly kills: number;
  readonly diff: string;
}

function runFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "cadre-software-team-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

function run(folder: string, ...options: string[]): string {
  const result = spawnSync(process.execPath, [program, "--data", folder, ...options], {
    cwd: tmpdir(),
    encoding: "utf8",
    env,
    timeout: timeoutMs,
  });
  assert.equal(result.status, 0, `exit code ${result.status}, ${result.signal}:\n${result.stderr}`);
  return result.stdout;
}

/** The report, without what differs from run to run. */
function told(text: string): string {
  const report = text.slice(text.search(/^dead-code/m));
  return normalOutput(report.replace(/\d+ tasks.*$/m, "… tasks, … events, … kills, … s"));
}

function git(folder: string, ...args: string[]): string {
  return execFileSync("git", [`--git-dir=${join(folder, "library.git")}`, ...args], {
    encoding: "utf8",
  }).trim();
}

/** Starts the team, and kills all of it when it has said something. */
async function killAt(folder: string, said: RegExp): Promise<void> {
  const child = spawn(process.execPath, [program, "--data", folder, "--chaos"], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
    timeout: timeoutMs,
  });
  await heard(child, said);
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
}

function heard(child: ChildProcess, said: RegExp): Promise<void> {
  let text = "";
  return new Promise((resolve, reject) => {
    child.stdout?.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      if (said.test(text)) resolve();
    });
    child.once("close", () => reject(new Error(`It ended without saying ${said}:\n${text}`)));
  });
}

test("the team takes the library to green, and says what its README says", (t) => {
  const folder = runFolder(t);
  const readme = readFileSync(join(example, "README.md"), "utf8");
  const promised = /```text\n(dead-code[\s\S]*?)```/.exec(readme)?.[1] ?? "";
  assert.equal(told(run(folder)), told(promised));

  // The checkout is as it was, and what was released is green without the team.
  const status = ["status", "--porcelain", "--", "examples/software-team/library"];
  assert.equal(execFileSync("git", status, { cwd: root, encoding: "utf8" }), "");
  assert.deepEqual(git(folder, "tag").split("\n"), ["found", "v1.1.0"]);
  const released = join(folder, "released");
  mkdirSync(released);
  execFileSync("tar", ["-xf", join(folder, "registry", "till-1.1.0.tar"), "-C", released]);
  const green = spawnSync(process.execPath, ["--test"], { cwd: released, env });
  assert.equal(green.status, 0, String(green.stdout));
  const broken = join(folder, "broken");
  cpSync(join(example, "library"), broken, { recursive: true });
  assert.notEqual(spawnSync(process.execPath, ["--test"], { cwd: broken, env }).status, 0);
});

test("killed in parts and as a whole, it ends with the same commits, and none is doubled", async (t) => {
  const folder = runFolder(t);
  await killAt(folder, /worker \w+ was killed/);
  await killAt(folder, /finds dead-code.stats.nearest/);
  await killAt(folder, /green.try: merge done/);
  const report = JSON.parse(run(folder, "--chaos", "--json")) as Report;
  const readme = readFileSync(join(example, "README.md"), "utf8");
  const [, tree, commits] = /The tree of main is (\w+), after (\d+) commits/.exec(readme) ?? [];
  assert.equal(report.tree, tree);
  assert.equal(report.commits, Number(commits));
  assert.deepEqual(report.tags, ["found", "v1.1.0"]);
  assert.deepEqual(report.undone, ["tag", "merge"]);
  assert.ok(report.kills > 0);
  const merges = git(folder, "log", "--first-parent", "--format=%s", "main").split("\n");
  assert.deepEqual(merges, ["Release 1.1.0", "The library as it was found"]);
  // What has ended is told again, and nothing is done again.
  assert.equal((JSON.parse(run(folder, "--json")) as Report).head, report.head);
});

test("a merge that others have built on is taken back by a revert, once", async (t) => {
  const folder = runFolder(t);
  const repository = new Repository(folder);
  await repository.prepare(join(example, "library"));
  const before = await repository.commitOf("main");
  const change = (base: string, name: string): Promise<string> =>
    repository.commitFiles({
      base,
      branch: name,
      files: { [name]: name },
      message: name,
      role: name,
    });
  const commit = await change(before, "release");
  const merged = await merge(repository, { version: "1.0.0", commit }, "key-1");
  assert.equal(await findMerge(repository, "key-1"), merged);
  assert.equal(await findMerge(repository, "key-2"), undefined);
  const later = await change(merged, "later");
  await repository.move("refs/heads/main", later, merged);
  await unmerge(repository, "key-1");
  const files = (name: string): string => git(folder, "ls-tree", "--name-only", name);
  assert.match(files("main"), /^later$/m);
  assert.doesNotMatch(files("main"), /^release$/m);
  const reverted = await repository.commitOf("main");
  assert.notEqual(reverted, later);
  await unmerge(repository, "key-1");
  await unmerge(repository, "key-2");
  assert.equal(await repository.commitOf("main"), reverted);
});

test("a merge is not made onto a main that has moved", async (t) => {
  const folder = runFolder(t);
  const repository = new Repository(folder);
  await repository.prepare(join(example, "library"));
  const main = await repository.commitOf("main");
  const files = { "a.txt": "a" };
  const other = { base: main, branch: "other", files, message: "other", role: "other" };
  const commit = await repository.commitFiles(other);
  // The same change is the same commit, however often it is made.
  assert.equal(await repository.commitFiles(other), commit);
  await repository.move("refs/heads/main", commit, main);
  await assert.rejects(repository.move("refs/heads/main", main, main));
  assert.equal(await repository.commitOf("main"), commit);
});
