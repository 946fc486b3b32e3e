/**
 * Processes that publish and consume through one SQLite file are killed at random instants. Every
 * event whose publish had resolved is delivered, and no receipt is there twice.
 *
 * CADRE_KILL_ROUNDS sets the number of kills (20 unless set), CADRE_SEED repeats their order.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { secureRandom, SeededRandom, systemClock } from "cadre";
import { openSqlite, type SqliteLog } from "cadre/sqlite";
import { withTempFolder } from "../servers/temporary.ts";

const member = fileURLToPath(new URL("sqlite-kill-member.ts", import.meta.url));
const rounds = Number(process.env["CADRE_KILL_ROUNDS"] ?? 20);
const drainBoundMs = 60_000;

type Role = "publish" | "consume";

async function start(role: Role, folder: string): Promise<ChildProcess> {
  const process = fork(member, [role, join(folder, "log.db"), join(folder, "published.txt")]);
  const [message] = await Promise.race([
    once(process, "message"),
    once(process, "exit").then(([code]) => [`it ended with ${code}`]),
  ]);
  assert.equal(message, "ready", `a process that should ${role}`);
  return process;
}

async function kill(process: ChildProcess): Promise<void> {
  const ended = once(process, "exit");
  process.kill("SIGKILL");
  await ended;
}

/** Kills one process after the other, each at an instant drawn by chance, and starts it again. */
async function killInRounds(t: TestContext, folder: string): Promise<ChildProcess[]> {
  const seed = Number(process.env["CADRE_SEED"] ?? secureRandom.integer(2 ** 32));
  const random = new SeededRandom(seed);
  t.diagnostic(`${rounds} kills, CADRE_SEED=${seed}`);
  const roles: readonly Role[] = ["publish", "consume", "consume", "publish"];
  const running = await Promise.all(roles.map((role) => start(role, folder)));
  for (let round = 0; round < rounds; round += 1) {
    await systemClock.sleep(random.next() * 60);
    // Now and then all at once: nobody is left to see who is gone.
    const victims = random.integer(5) === 0 ? [0, 1, 2, 3] : [random.integer(roles.length)];
    await Promise.all(victims.map((index) => kill(running[index]!)));
    await Promise.all(
      victims.map(async (index) => {
        running[index] = await start(roles[index]!, folder);
      }),
    );
  }
  return running;
}

function idsIn(path: string): string[] {
  if (!existsSync(path)) return [];
  // A kill may cut the last line of one of the writers short only between whole writes: a line is
  // one write.
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

/** How often each event was handled, by its receipts. */
async function countReceipts(log: SqliteLog): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for await (const { event } of log.store.read({ type: "work.receipt" })) {
    const { of } = event.payload as { readonly of: string };
    counts.set(of, (counts.get(of) ?? 0) + 1);
  }
  return counts;
}

test("no event whose publish had resolved is lost to kills, and none is handled twice", async (t) => {
  await withTempFolder(async (folder) => {
    const running = await killInRounds(t, folder);
    const publishers = running.filter((_, index) => index === 0 || index === 3);
    await Promise.all(publishers.map(kill));
    const published = idsIn(join(folder, "published.txt"));
    assert.ok(published.length > rounds, "too little was published to show anything");
    const log = await openSqlite(join(folder, "log.db"));
    let receipts = await countReceipts(log);
    const deadline = systemClock.monotonic() + drainBoundMs;
    while (published.some((id) => !receipts.has(id)) && systemClock.monotonic() < deadline) {
      await systemClock.sleep(50);
      receipts = await countReceipts(log);
    }
    await Promise.all(running.filter((each) => !publishers.includes(each)).map(kill));
    receipts = await countReceipts(log);
    const lost = published.filter((id) => !receipts.has(id));
    const doubled = [...receipts].filter(([, count]) => count > 1);
    t.diagnostic(
      `${published.length} acknowledged, ${receipts.size} handled, ${lost.length} lost, ${doubled.length} doubled`,
    );
    assert.deepEqual(lost, [], "lost");
    assert.deepEqual(doubled, [], "handled twice");
    const answers = new Set<string>();
    for await (const { event } of log.store.read({ type: "work.answered" })) {
      const { of } = event.payload as { readonly of: string };
      assert.ok(!answers.has(of), "an event that was held back is there twice");
      answers.add(of);
    }
    assert.deepEqual(answers, new Set(receipts.keys()), "receipts and answers commit together");
    const deadLetters = log.transport.deadLetters!.list();
    for await (const letter of deadLetters) assert.fail(`dead letter ${letter.id}`);
    await log.close();
    const db = new DatabaseSync(join(folder, "log.db"));
    const sound = db.prepare("PRAGMA integrity_check").get();
    db.close();
    assert.equal(sound?.["integrity_check"], "ok");
  });
});
