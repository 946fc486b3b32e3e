/**
 * Runs the tests, each file in a process of its own, on the built packages.
 *
 *   node scripts/run-tests.ts [--brokers] [--faults] [--write] [PART-OF-A-PATH ...]
 *
 * Prints a line for each file, the errors of what failed, and node's own summary at the end; with
 * `--faults` also what the tests counted.
 * `--brokers` are the suites of the transports, one after the other and with nothing beside them:
 * they measure time. With `--faults` they are those that break things, too; `--write` keeps what
 * they found in docs/reference/conformance.json.
 */
import { existsSync, globSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { run } from "node:test";
import { fileURLToPath } from "node:url";
import { inspect, parseArgs } from "node:util";
import { brokerSuites } from "./broker-suites.ts";
import {
  differences,
  printTable,
  readCommitted,
  readReports,
  writeCommitted,
} from "./conformance-report.ts";
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
const fileTimeoutMs = 600_000; // a suite on a real server takes a minute, on a busy machine more
const faultsTimeoutMs = 1_800_000; // hundreds of rounds of kill and restart

interface Selection {
  readonly faults: boolean;
  readonly brokers: boolean;
  readonly parts: readonly string[];
}

/** The test files, as paths relative to the root: sorted, but for the suites of the transports. */
export function findTests({ faults, brokers, parts }: Selection, folder: string): string[] {
  const fits = (path: string): boolean =>
    parts.length === 0 || parts.some((part) => path.includes(part));
  if (brokers) {
    const suites = brokerSuites.flatMap((suite) => [
      ...suite.basic,
      ...(faults ? suite.faults : []),
    ]);
    return suites.filter(fits);
  }
  const patterns = faults
    ? ["packages/*/test/faults/**/*.test.ts"]
    : ["packages/*/test/**/*.test.ts", "test/*.test.ts"];
  // A suite that is asked for by its name runs with the other tests, too.
  const apart = new Set(parts.length > 0 ? [] : brokerSuites.flatMap(({ basic }) => basic));
  return globSync(patterns, { cwd: folder })
    .filter((path) => (faults || !path.includes("/faults/")) && !apart.has(path))
    .filter(fits)
    .sort();
}

/**
 * Finds or installs the servers; `env` learns where they are. Returns those that cannot be had,
 * each with the reason; one that the user runs is not looked for.
 */
function prepareServers(env: NodeJS.ProcessEnv): ReadonlyMap<string, string> {
  const installer = aptInstaller();
  const missing = new Map<string, string>();
  for (const server of testServers) {
    const suite = brokerSuites.find((item) => item.server === server.name);
    const available = ensureServer(server, env, installer);
    if (available.path !== undefined) {
      env[server.variable] = available.path;
    } else if (suite?.urlVariable === undefined || !env[suite.urlVariable]) {
      missing.set(server.name, available.why);
    }
  }
  return missing;
}

/** Says which are missing; false when a required one is, in CI. */
function reportMissing(missing: ReadonlyMap<string, string>, env: NodeJS.ProcessEnv): boolean {
  for (const [name, why] of missing) console.log(`${name}: not run, because ${why}`);
  const required = testServers.filter(({ name, required }) => required && missing.has(name));
  if (required.length === 0 || env["CI"] !== "true") return true;
  const names = required.map(({ name }) => name).join(", ");
  console.error(`Required and not here: ${names}. CI=true does not let their tests stay out.`);
  return false;
}

function noCounts(): Counts {
  return { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };
}

/** Of what a test counted, not of the runner's own summary. */
function isFigure(message: string): boolean {
  return !/^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(message);
}

async function runFile(path: string, faults: boolean): Promise<FileResult> {
  const timeoutMs = faults ? faultsTimeoutMs : fileTimeoutMs;
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
    } else if (event.type === "test:diagnostic" && faults && isFigure(event.data.message)) {
      lines.push(`ℹ ${event.data.message}`);
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

/** Runs the files, some at a time; returns the sum. */
async function runAll(
  paths: readonly string[],
  { faults, atOnce }: { readonly faults: boolean; readonly atOnce: number },
): Promise<Counts> {
  const total = noCounts();
  const waiting = [...paths];
  const worker = async (): Promise<void> => {
    for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
      const begun = performance.now();
      const { counts, ok, lines } = await runFile(path, faults);
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      for (const key of Object.keys(total) as (keyof Counts)[]) total[key] += counts[key];
      console.log(`${ok ? "✔" : "✖"} ${path} (${counts.tests} tests, ${seconds} s)`);
      if (lines.length > 0) console.log(indented(lines.join("\n")));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
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

/**
 * Runs the suites of the transports, prints what they found, and compares it with what is kept.
 * Returns whether both are the same.
 */
async function runBrokers(
  run: () => Promise<Counts>,
  { write }: { readonly write: boolean },
): Promise<{ readonly total: Counts; readonly isAsKept: boolean }> {
  const folder = mkdtempSync(join(tmpdir(), "cadre-conformance-"));
  process.env["CADRE_CONFORMANCE_FOLDER"] = folder;
  try {
    const total = await run();
    const found = readReports(folder);
    printTable(found);
    if (write && total.failed === 0) writeCommitted(found);
    const lines = differences(found, readCommitted());
    for (const line of lines) console.log(line);
    if (lines.length > 0) console.log("docs/reference/conformance.json: npm run conformance");
    return { total, isAsKept: lines.length === 0 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const { values, positionals: parts } = parseArgs({
    options: {
      faults: { type: "boolean", default: false },
      brokers: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  if (!existsSync(join(root, "packages", "cadre", "dist"))) {
    console.error("Nothing is built; run `npm run build` first.");
    return 1;
  }
  const missing = prepareServers(process.env);
  if (!reportMissing(missing, process.env)) return 1;
  const { faults, brokers, write } = values;
  const paths = findTests({ faults, brokers, parts }, root);
  if (paths.length === 0) {
    console.error("No test file fits.");
    return 1;
  }
  const begun = performance.now();
  const run = (): Promise<Counts> => runAll(paths, { faults, atOnce: brokers ? 1 : concurrency });
  const { total, isAsKept } = brokers
    ? await runBrokers(run, { write })
    : { total: await run(), isAsKept: true };
  printSummary(total, performance.now() - begun);
  reportMissing(missing, {});
  return total.failed + total.cancelled === 0 && isAsKept ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
