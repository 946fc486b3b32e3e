/** The process of a server that a test has for itself: how it starts, and how it ends. */
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import process from "node:process";

export interface Program {
  /** For the error when it does not start. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly options?: SpawnOptions;
  /** Where it says `text` when it takes connections. */
  readonly ready: { readonly stream: "stdout" | "stderr"; readonly text: string };
  readonly timeoutMs: number;
}

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** A test process that forgot to stop its server ends all the same, and takes the server along. */
export function endWithUs(
  child: ChildProcess,
  kill: () => void = () => void child.kill("SIGKILL"),
): void {
  process.once("exit", kill);
  child.once("exit", () => process.removeListener("exit", kill));
  child.unref();
  for (const stream of [child.stdout, child.stderr]) {
    (stream as { unref?(): void } | null)?.unref?.(); // a pipe of a child is a socket
  }
}

/** Resolves when the program says that it is ready; rejects with its log when it ends before. */
export function launch({
  name,
  command,
  args,
  options = {},
  ready,
  timeoutMs,
}: Program): Promise<ChildProcess> {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  endWithUs(child);
  return new Promise((resolve, reject) => {
    let log = "";
    let isReady = false;
    const timer = setTimeout(() => fail("is not ready in time"), timeoutMs);
    const fail = (what: string): void => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      reject(new Error(`${name} ${what}:\n${log.slice(-10_000)}`));
    };
    const onExit = (): void => fail("ended");
    child.once("error", (error) => fail(error.message));
    child.once("exit", onExit);
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8").on("data", (text: string) => {
        // After it is ready the log is read on, or a full pipe would stop the server.
        if (isReady) return;
        log += text;
        if (stream !== ready.stream || !log.includes(ready.text)) return;
        isReady = true;
        clearTimeout(timer);
        child.removeListener("exit", onExit);
        resolve(child);
      });
    }
  });
}

const patienceMs = 30_000; // a server that was frozen or hangs does not hear a signal

/** Resolves when the process is gone. */
export async function endProcess(
  child: ChildProcess,
  signal: NodeJS.Signals,
  send: (signal: NodeJS.Signals) => void = (which) => void child.kill(which),
): Promise<void> {
  if (hasEnded(child)) return;
  const exited = once(child, "exit");
  send(signal);
  const timer = setTimeout(() => send("SIGKILL"), patienceMs);
  await exited;
  clearTimeout(timer);
}

const startTries = 3; // between choosing a port and binding it, another process may take it

/** @param start chooses its ports anew at each try */
export async function startWithTries<Started>(start: () => Promise<Started>): Promise<Started> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await start();
    } catch (error) {
      if (tries === startTries) throw error;
    }
  }
}
