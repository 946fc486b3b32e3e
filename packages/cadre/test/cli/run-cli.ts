/** Runs the real command line as a process of its own, for the tests of this folder. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Writable } from "node:stream";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { main } from "#src/cli/main.ts";
import type { Sink } from "#src/cli/output.ts";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /**
   * Resolves when standard output or standard error holds `text`. Rejects when the process ends
   * before.
   */
  shows(text: string): Promise<void>;
}

const packageFolder = fileURLToPath(new URL("../../", import.meta.url));
const limitMs = 20_000; // a process that hangs fails its test, not the machine

/** The source where the tests run on it, the built output otherwise. */
function programArguments(): string[] {
  if (!import.meta.resolve("cadre").endsWith(".ts")) return [join(packageFolder, "bin/cadre.js")];
  const main = join(packageFolder, "src/cli/main.ts");
  const code = `import { main } from ${JSON.stringify(main)};
    process.exitCode = await main(process.argv.slice(1));`;
  return ["--conditions=source", "--input-type=module", "-e", code, "--"];
}

export function startCli(args: readonly string[], options: CliOptions): RunningCli {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [...programArguments(), ...args], {
    cwd: options.cwd,
    env: { PATH, HOME, TZ: "UTC", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: limitMs,
    killSignal: "SIGKILL",
  });
  let [stdout, stderr] = ["", ""];
  const watchers = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    for (const look of watchers) look();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    for (const look of watchers) look();
  });
  child.stdin.on("error", () => {}); // a command that reads nothing may end before it has all
  child.stdin.end(options.input ?? "");
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  const shows = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!stdout.includes(text) && !stderr.includes(text)) return;
        watchers.delete(look);
        resolve();
      };
      watchers.add(look);
      look();
      void ended.then(() => reject(new Error(`never said "${text}":\n${stdout}\n${stderr}`)));
    });
  return { child, ended, shows };
}

export function runCli(args: readonly string[], options: CliOptions): Promise<Ended> {
  return startCli(args, options).ended;
}

/** Runs the command line in this process: quicker, for what needs no process of its own. */
export async function runHere(args: readonly string[], options: CliOptions): Promise<Ended> {
  const [out, err] = [textSink(), textSink()];
  const { cwd, env = {} } = options;
  const code = await main(args, { out: out.sink, err: err.sink, env, cwd });
  return { code, stdout: out.read(), stderr: err.read() };
}

function textSink(): { readonly sink: Sink; read(): string } {
  let text = "";
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { sink, read: () => text };
}

/** A folder that goes with the test. */
export function temporaryFolder(context: Pick<TestContext, "after">): string {
  const folder = mkdtempSync(join(tmpdir(), "cadre-cli-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The values of lines of JSON. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
