/** Runs the library's tests in a process of their own, with a time limit. */
import { execFile } from "node:child_process";
import { globSync } from "node:fs";

export interface TestRun {
  readonly failing: readonly string[];
  readonly passing: readonly string[];
}

const timeoutMs = 30_000; // a change may have made an endless loop

export function runTests(folder: string): Promise<TestRun> {
  const files = globSync("test/**/*.test.ts", { cwd: folder }).sort();
  const args = ["--test", "--test-isolation=none", "--test-reporter=tap", ...files];
  // Else a test runner that this is within would take the results for its own.
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: undefined };
  return new Promise((resolve, reject) => {
    const options = { cwd: folder, env, timeout: timeoutMs, killSignal: "SIGKILL" } as const;
    execFile(process.execPath, args, options, (error, stdout) => {
      const run = readTap(stdout);
      // That it ends with a failure is what is asked for; that it says nothing is not.
      if (run.failing.length + run.passing.length > 0) resolve(run);
      else reject(error ?? new Error("the tests said nothing"));
    });
  });
}

/** The tests of the outermost level. */
function readTap(text: string): TestRun {
  const failing: string[] = [];
  const passing: string[] = [];
  for (const [, not, name = ""] of text.matchAll(/^(not )?ok \d+ - (.*)$/gm)) {
    (not === undefined ? passing : failing).push(name);
  }
  return { failing: failing.sort(), passing: passing.sort() };
}
