import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { systemClock } from "cadre";
import { openSqlite } from "cadre/sqlite";
import { openCorpus } from "#src/corpus.ts";

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Figures {
  readonly documents: number;
  readonly chunks: number;
  readonly tasksLost: number;
  readonly duplicateEffects: number;
  readonly kills: number;
  readonly rejectedLateResults: number;
  readonly graphHash: string;
}

const program = join(import.meta.dirname, "demo-process.ts");
// Long ones: chaos needs some seconds of work.
const chosen = ["1905-theodore-roosevelt", "1906-theodore-roosevelt", "1907-theodore-roosevelt"];
let root = "";
let docs = "";
let plain: Figures;

before(async () => {
  root = await mkdtemp(join(tmpdir(), "desk-run-"));
  docs = join(root, "docs");
  await mkdir(docs);
  const { read } = await openCorpus();
  for (const id of chosen) await writeFile(join(docs, `${id}.txt`), (await read(id))?.text ?? "");
  await writeFile(join(docs, "1908-nothing.txt"), "");
});
after(() => rm(root, { recursive: true, force: true }));

/** Runs a command of the desk. `during` gets the way to send it a signal. */
async function run(
  command: "demo" | "graph",
  options: Readonly<Record<string, unknown>>,
  during?: (send: (signal: NodeJS.Signals) => void) => Promise<void>,
): Promise<Ended> {
  const args = [...process.execArgv.filter((option) => !option.startsWith("--test")), program];
  const child = spawn(process.execPath, [...args, command, JSON.stringify(options)]);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = new Promise<number | null>((resolve) => child.once("exit", resolve));
  await during?.((signal) => void child.kill(signal));
  return { code: await code, stdout, stderr };
}

function figures(ended: Ended): Figures {
  assert.equal(ended.code, 0, ended.stderr);
  return JSON.parse(ended.stdout) as Figures;
}

/** Resolves when so many tasks are completed in the log of a folder. */
async function completed(folder: string, count: number): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    await systemClock.sleep(50);
    const log = await openSqlite(join(folder, "desk.db"));
    let seen = 0;
    try {
      for await (const _ of log.store.read({ type: "task.completed", limit: count })) seen += 1;
    } finally {
      await log.close();
    }
    if (seen >= count) return;
  }
  assert.fail(`there were never ${count} completed tasks`);
}

test("a folder of documents becomes a graph, and the JSON alone is on standard output", async () => {
  const ended = await run("demo", { docs, data: join(root, "plain"), json: true });
  plain = figures(ended);
  assert.deepEqual(Object.keys(plain), [
    "documents",
    "chunks",
    "entities",
    "events",
    "eventsPerSecond",
    "taskP50Ms",
    "taskP99Ms",
    "peakMemoryMb",
    "diskMb",
    "tasksLost",
    "duplicateEffects",
    "kills",
    "rejectedLateResults",
    "graphHash",
  ]);
  const { documents, tasksLost, duplicateEffects, kills, rejectedLateResults } = plain;
  assert.deepEqual(
    { documents, tasksLost, duplicateEffects, kills, rejectedLateResults },
    { documents: 3, tasksLost: 0, duplicateEffects: 0, kills: 0, rejectedLateResults: 0 },
  );
  assert.match(ended.stderr, /reads 4 documents/);
});

test("a finished job started again says so and prints its summary at once", async () => {
  const again = await run("demo", { docs, data: join(root, "plain"), json: true });
  assert.deepEqual(figures(again), plain);
  assert.match(again.stderr, /done already/);
});

test("killed and frozen workers change nothing in the graph", async () => {
  const harmed = figures(
    await run("demo", { docs, data: join(root, "chaos"), json: true, chaos: true }),
  );
  assert.equal(harmed.graphHash, plain.graphHash);
  assert.equal(harmed.tasksLost, 0);
  assert.equal(harmed.duplicateEffects, 0);
  assert.ok(harmed.kills >= 3, `${harmed.kills} kills`);
  assert.ok(harmed.rejectedLateResults >= 1, "no late result was rejected");
});

test("a job that was killed, then interrupted, goes on to the same graph", async () => {
  const data = join(root, "interrupted");
  const options = { docs, data, json: true };
  const killed = await run("demo", options, async (send) => {
    await completed(data, 10);
    send("SIGKILL");
  });
  assert.equal(killed.code, null);
  const first = await run("demo", options, async (send) => {
    await completed(data, 40);
    send("SIGINT");
  });
  assert.equal(first.code, 130, first.stderr);
  assert.equal(first.stdout, "");
  assert.match(first.stderr, /Going on: \d+ of \d+ tasks were done before/);
  assert.match(first.stderr, /Stopped: \d+ of \d+ tasks are done/);
  const unfinished = await run("graph", { data, name: "Panama" });
  assert.match(unfinished.stderr, /isn't finished/);
  const second = await run("demo", options);
  assert.equal(figures(second).graphHash, plain.graphHash);
  assert.match(second.stderr, /Going on: \d+ of \d+ tasks were done before/);
});

test("a folder that holds the work on other documents is refused and left as it is", async () => {
  const data = join(root, "plain");
  const other = await run("demo", { limit: 3, data });
  assert.equal(other.code, 2);
  assert.match(other.stderr, /holds the work on 4 documents of .*--fresh.*OTHER_PILE/s);
  assert.deepEqual(figures(await run("demo", { docs, data, json: true })), plain);
});

test("--fresh deletes the work of the folder and begins anew", async () => {
  const data = join(root, "chaos");
  const fresh = await run("demo", { limit: 2, data, fresh: true, json: true });
  assert.equal(figures(fresh).documents, 2);
});

test("the graph tells when, where, with whom, and from which document and event", async () => {
  const data = join(root, "plain");
  const found = await run("graph", { data, name: "Panama", json: true });
  assert.equal(found.code, 0, found.stderr);
  const { answer } = JSON.parse(found.stdout);
  assert.equal(answer.kind, "place");
  assert.ok(answer.said.length > 0 && answer.when.length > 0 && answer.withWhom.length > 0);
  const { read } = await openCorpus({ docsDir: docs });
  for (const { document, start, end, sentence, eventId, extractors } of answer.said) {
    const said = (await read(document))?.text.slice(start, end) ?? "";
    assert.ok(said !== "" && sentence.includes(said));
    assert.match(eventId, /^[0-9a-f-]{36}$/);
    assert.match(extractors, /@\d/);
  }
});

test("a name that the graph lacks gets the nearest ones, and a missing graph its remedy", async () => {
  const missing = await run("graph", { data: join(root, "plain"), name: "Panamo" });
  assert.equal(missing.code, 3);
  assert.match(missing.stdout, /Nearest names: .*Panama/);
  const nowhere = await run("graph", { data: join(root, "nowhere"), name: "Panama" });
  assert.equal(nowhere.code, 3);
  assert.match(nowhere.stderr, /cadre demo.*NO_GRAPH/s);
});
