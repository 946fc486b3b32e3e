/**
 * Runs the tests, each file in a process of its own, on the built packages.
 *
 *   node scripts/run-tests.ts [--faults] [PART-OF-A-PATH ...]
 *
 * Prints a line for each file, the errors of what failed, and node's own summary at the end.
 */
import { existsSync, globSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { run } from "node:test";
import { fileURLToPath } from "node:url";
import { inspect, parseArgs } from "node:util";
import { aptInstaller, ensureServer, testServers } from "./servers.ts";

/** What became of the tests of a file, or of all files. */
interface Counts {
  tests: number;
  suites: number;
  passed: number;
  failed: number;
  cancelled: number;
  skipped: number;
  todo: number;
}

interface FileResult {
  readonly counts: Counts;
  readonly ok: boolean;
  /** Errors, reasons of skips, and the output of a file that failed. */
  readonly lines: readonly string[];
}

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const concurrency = 2;
const fileTimeoutMs = 180_000; // a conformance suite on a real server takes a minute
const faultsTimeoutMs = 1_800_000; // hundreds of rounds of kill and restart

/** The test files, as paths relative to the root, sorted. */
export function findTests(faults: boolean, parts: readonly string[], folder: string): string[] {
  const patterns = faults
    ? ["packages/*/test/faults/**/*.test.ts"]
    : ["packages/*/test/**/*.test.ts", "test/*.test.ts"];
  return globSync(patterns, { cwd: folder })
    .filter((path) => faults || !path.includes("/faults/"))
    .filter((path) => parts.length === 0 || parts.some((part) => path.includes(part)))
    .sort();
}

/**
 * Finds or installs the servers; `env` learns where they are. False when a required one is missing
 * in CI.
 */
function prepareServers(env: NodeJS.ProcessEnv): boolean {
  const installer = aptInstaller();
  let complete = true;
  for (const server of testServers) {
    const available = ensureServer(server, env, installer);
    if (available.path !== undefined) {
      env[server.variable] = available.path;
      continue;
    }
    console.log(`${server.name}: not available, its tests don't run: ${available.why}`);
    if (server.required && env["CI"] === "true") complete = false;
  }
  return complete;
}

function noCounts(): Counts {
  return { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };
}

async function runFile(path: string, timeoutMs: number): Promise<FileResult> {
  const file = join(root, path);
  const tooSlow = new Error(`The file took more than ${timeoutMs / 1000} s and was ended.`);
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(tooSlow), timeoutMs);
  const output: string[] = [];
  const lines: string[] = [];
  let counts = noCounts();
  let ok = false;
  for await (const event of run({ files: [file], cwd: root, signal: abort.signal })) {
    if (event.type === "test:stdout" || event.type === "test:stderr") {
      output.push(event.data.message);
    } else if (event.type === "test:fail") {
      const { name, details } = event.data;
      const error = details.error as Error & { failureType?: string };
      if (error.failureType === "subtestsFailed") continue;
      lines.push(`✖ ${name === file ? path : name}`, indented(describe(error)));
    } else if (event.type === "test:pass") {
      const { name, skip } = event.data;
      if (typeof skip === "string") lines.push(`﹣ ${name} (skipped: ${skip})`);
      if (name === file) lines.push(`✖ ${path} has no test`);
    } else if (event.type === "test:summary" && event.data.file === undefined) {
      const { topLevel: _, ...summary } = event.data.counts;
      counts = summary;
      ok = event.data.success;
    }
  }
  clearTimeout(timer);
  if (lines.includes(`✖ ${path} has no test`)) {
    ok = false;
    counts = { ...counts, passed: 0, failed: 1 };
  }
  if (!ok) lines.push(...output.map((text) => text.trimEnd()).filter((text) => text !== ""));
  return { counts, ok, lines };
}

/** The error that the test threw, without the runner's wrapping. */
function describe(error: Error): string {
  const thrown = error.cause ?? error;
  if (!(thrown instanceof Error)) return inspect(thrown);
  return inspect(thrown, { depth: 6 }).replaceAll(/\n\s+at .*\(?node:internal.*$/gm, "");
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}

/** Runs the files, two at a time; returns the sum. */
async function runAll(paths: readonly string[], timeoutMs: number): Promise<Counts> {
  const total = noCounts();
  const waiting = [...paths];
  const worker = async (): Promise<void> => {
    for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
      const begun = performance.now();
      const { counts, ok, lines } = await runFile(path, timeoutMs);
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      for (const key of Object.keys(total) as (keyof Counts)[]) total[key] += counts[key];
      console.log(`${ok ? "✔" : "✖"} ${path} (${counts.tests} tests, ${seconds} s)`);
      if (lines.length > 0) console.log(indented(lines.join("\n")));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return total;
}

function printSummary(total: Counts, durationMs: number): void {
  console.log(`ℹ tests ${total.tests}`);
  console.log(`ℹ suites ${total.suites}`);
  console.log(`ℹ pass ${total.passed}`);
  console.log(`ℹ fail ${total.failed}`);
  console.log(`ℹ cancelled ${total.cancelled}`);
  console.log(`ℹ skipped ${total.skipped}`);
  console.log(`ℹ todo ${total.todo}`);
  console.log(`ℹ duration_ms ${durationMs.toFixed(0)}`);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { faults: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  if (!existsSync(join(root, "packages", "cadre", "dist"))) {
    console.error("Nothing is built; run `npm run build` first.");
    return 1;
  }
  if (!prepareServers(process.env)) {
    console.error("A required server is missing, and CI=true does not let its tests stay out.");
    return 1;
  }
  const paths = findTests(values.faults, positionals, root);
  if (paths.length === 0) {
    console.error("No test file fits.");
    return 1;
  }
  const begun = performance.now();
  const total = await runAll(paths, values.faults ? faultsTimeoutMs : fileTimeoutMs);
  printSummary(total, performance.now() - begun);
  return total.failed + total.cancelled === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
