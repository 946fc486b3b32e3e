import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import {
  postgresServerPath,
  startPostgresServer,
} from "../../cadre/test/servers/postgres-server.ts";

const program = join(import.meta.dirname, "demo-process.ts");
const skip = postgresServerPath() === undefined && "there is no postgres here";

interface Summary {
  readonly graphHash: string;
  readonly tasksLost: number;
}

/** What the desk prints at its end, whose workers are processes of their own. */
async function demo(options: Readonly<Record<string, unknown>>): Promise<Summary> {
  const flags = process.execArgv.filter((option) => !option.startsWith("--test"));
  const args = [...flags, program, "demo", JSON.stringify({ limit: 2, json: true, ...options })];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Summary;
}

test("a desk on Postgres makes the graph that one on SQLite makes", { skip }, async () => {
  await using server = await startPostgresServer();
  const data = await mkdtemp(join(tmpdir(), "desk-postgres-"));
  try {
    const file = await demo({ data });
    const database = await demo({ store: server.url });
    assert.equal(database.graphHash, file.graphHash);
    assert.deepEqual([file.tasksLost, database.tasksLost], [0, 0]);
    assert.equal((await demo({ store: server.url })).graphHash, file.graphHash, "and it is kept");
    await assert.rejects(demo({ store: server.url, fresh: true }), /FRESH_NEEDS_FOLDER/);
  } finally {
    await rm(data, { recursive: true, force: true });
  }
});
