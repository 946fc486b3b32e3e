/**
 * Processes that publish and consume through one log, killed at random instants, and the count of
 * what became of the events afterwards.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import {
  secureRandom,
  SeededRandom,
  systemClock,
  type EventStore,
  type Random,
  type Transport,
} from "cadre";

const member = fileURLToPath(new URL("kill-member.ts", import.meta.url));
const drainBoundMs = 60_000;

export type Role = "publish" | "consume";

/** Where the members work, and where publishers write what has resolved. */
export interface KillRun {
  readonly url: string;
  readonly published: string;
  readonly leaseMs: number;
}

export async function startMember(role: Role, run: KillRun): Promise<ChildProcess> {
  const process = fork(member, [role, run.url, run.published, String(run.leaseMs)]);
  const [message] = await Promise.race([
    once(process, "message"),
    once(process, "exit").then(([code]) => [`it ended with ${code}`]),
  ]);
  assert.equal(message, "ready", `a process that should ${role}`);
  return process;
}

export async function killMember(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const ended = once(process, "exit");
  process.kill("SIGKILL");
  await ended;
}

/** Lets a process finish what it does, and leave. */
export async function stopMember(process: ChildProcess): Promise<void> {
  const ended = once(process, "exit");
  process.send("stop");
  await ended;
}

/** Chance from CADRE_SEED, or a seed that the test tells. */
export function seededRandom(t: TestContext): Random {
  const seed = Number(process.env["CADRE_SEED"] ?? secureRandom.integer(2 ** 32));
  t.diagnostic(`CADRE_SEED=${seed}`);
  return new SeededRandom(seed);
}

/**
 * Kills one process after the other, each at an instant drawn by chance, and starts it again.
 * Returns those that run in the end, with their roles.
 */
export async function killInRounds(
  run: KillRun,
  random: Random,
  options: { readonly rounds: number; readonly pauseMs: number },
): Promise<readonly (readonly [Role, ChildProcess])[]> {
  const roles: readonly Role[] = ["publish", "consume", "consume", "publish"];
  const running = await Promise.all(roles.map((role) => startMember(role, run)));
  for (let round = 0; round < options.rounds; round += 1) {
    await systemClock.sleep(random.next() * options.pauseMs);
    // Now and then all at once: nobody is left to see who is gone.
    const victims = random.integer(5) === 0 ? [0, 1, 2, 3] : [random.integer(roles.length)];
    await Promise.all(victims.map((index) => killMember(running[index]!)));
    await Promise.all(
      victims.map(async (index) => {
        running[index] = await startMember(roles[index]!, run);
      }),
    );
  }
  return roles.map((role, index) => [role, running[index]!] as const);
}

/** The ids whose publish has resolved. */
export function publishedIds({ published }: KillRun): readonly string[] {
  if (!existsSync(published)) return [];
  // A kill may cut the last line of one of the writers short only between whole writes: a line is
  // one write.
  return readFileSync(published, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

/** How often each event was handled, by its receipts. */
async function countReceipts(store: EventStore): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for await (const { event } of store.read({ type: "work.receipt" })) {
    const { of } = event.payload as { readonly of: string };
    counts.set(of, (counts.get(of) ?? 0) + 1);
  }
  return counts;
}

/**
 * Waits, while `consumers` work, until all that was published is handled; then kills them and
 * counts. Nothing may be lost, handled twice, or half committed.
 */
export async function assertHandledOnce(
  t: TestContext,
  log: { readonly store: EventStore; readonly transport: Transport },
  published: readonly string[],
  consumers: readonly ChildProcess[],
): Promise<void> {
  let receipts = await countReceipts(log.store);
  const deadline = systemClock.monotonic() + drainBoundMs;
  while (published.some((id) => !receipts.has(id)) && systemClock.monotonic() < deadline) {
    await systemClock.sleep(50);
    receipts = await countReceipts(log.store);
  }
  await Promise.all(consumers.map(killMember));
  receipts = await countReceipts(log.store);
  const lost = published.filter((id) => !receipts.has(id));
  const doubled = [...receipts].filter(([, count]) => count > 1);
  t.diagnostic(
    `${published.length} acknowledged, ${receipts.size} handled, ` +
      `${lost.length} lost, ${doubled.length} doubled`,
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
  for await (const letter of log.transport.deadLetters!.list()) {
    assert.fail(`dead letter ${letter.id}`);
  }
}
