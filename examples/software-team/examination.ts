/** Examines commits in a process of its own: the compiler must not hold up heartbeats. */
import { execFile } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Candidate, Health } from "./contract.ts";
import type { Repository } from "./repository.ts";

const run = promisify(execFile);

const timeoutMs = 120_000; // the compiler on a busy machine, and the tests with their own limit
const maxBuffer = 16 * 1_024 * 1_024;
const extension = extname(fileURLToPath(import.meta.url));
const program = fileURLToPath(new URL(`./examine-process${extension}`, import.meta.url));

export async function healthOf(repository: Repository, commit: string): Promise<Health> {
  return repository.worktree(commit, async (folder) => {
    const { stdout } = await run(process.execPath, [program, folder], {
      timeout: timeoutMs,
      killSignal: "SIGKILL",
      maxBuffer,
    });
    return JSON.parse(stdout) as Health;
  });
}

/** Why a candidate is no good; nothing, when it is. */
export function complaints(candidate: Candidate, health: Health): readonly string[] {
  const failing = health.failing.filter((test) => !candidate.mayFail.includes(test));
  const wrong = health.findings.filter(
    ({ id, kind }) =>
      kind !== "failing-test" && // the tests speak for themselves
      kind !== "dead-code" && // what a change has made superfluous is for the next round
      !candidate.mayRemain.includes(id),
  );
  return [...failing.map((test) => `fails: ${test}`), ...wrong.map(({ message }) => message)];
}
