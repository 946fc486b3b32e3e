/**
 * A Redis server of the test's own: an append-only file, a free port, a folder that goes with it.
 *
 *   start ──▶ ready ──kill()──▶ down ──restart()──▶ ready (same port, same folder)
 *               └─────────────stop()─────────────▶ gone: process ended, folder removed
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { findServerByName } from "../../../../scripts/servers.ts";
import { freePort, makeTempFolder } from "./temporary.ts";

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  /** Of the process that runs now; undefined while it is down. */
  readonly pid: number | undefined;
  /** SIGKILL: nothing is flushed. Resolves when the process is gone. */
  kill(): Promise<void>;
  /** Ends the process if it runs, in order, and starts another on the same port and folder. */
  restart(): Promise<void>;
  /** Ends the process and removes its folder. Doing it twice does nothing. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface RedisServerOptions {
  /** When the server's file is synced to disk. @default "always" */
  readonly appendfsync?: "always" | "everysec" | "no";
  /** More arguments of `redis-server`; a function is handed the folder. */
  readonly args?: readonly string[] | ((folder: string) => readonly string[]);
}

const readyTimeoutMs = 10_000;
const startTries = 3; // between choosing a port and binding it, another process may take it

/** Where the server's executable is; undefined where there is none, and its tests can't run. */
export function redisServerPath(): string | undefined {
  return findServerByName("redis-server");
}

/** Starts a server and waits until it takes connections. */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const binary = redisServerPath();
  if (binary === undefined) throw new Error("There is no redis-server; see scripts/servers.ts.");
  const folder = await makeTempFolder();
  for (let tries = 1; ; tries += 1) {
    const port = await freePort();
    const args = argumentsOf(port, folder, options);
    try {
      return new OwnedServer({ binary, args, folder, port, child: await launch(binary, args) });
    } catch (error) {
      if (tries < startTries) continue;
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }
}

function argumentsOf(
  port: number,
  folder: string,
  { appendfsync = "always", args = [] }: RedisServerOptions,
): readonly string[] {
  return [
    ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""],
    ...["--appendonly", "yes", "--appendfsync", appendfsync],
    ...(typeof args === "function" ? args(folder) : args),
  ];
}

interface Start {
  readonly binary: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly port: number;
  readonly child: ChildProcess;
}

class OwnedServer implements RedisServer {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  readonly #binary: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;

  constructor(start: Start) {
    this.#binary = start.binary;
    this.#args = start.args;
    this.#child = start.child;
    this.folder = start.folder;
    this.port = start.port;
    this.url = `redis://127.0.0.1:${start.port}`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  async restart(): Promise<void> {
    await this.#end("SIGTERM");
    this.#child = await launch(this.#binary, this.#args);
  }

  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined) await end(child, signal);
  }
}

async function end(child: ChildProcess, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  // A server that was frozen or hangs does not hear SIGTERM.
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await exited;
  clearTimeout(timer);
}

/**
 * Resolves when the server's log says that it is ready; rejects with the log when it ends before.
 */
function launch(binary: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "ignore"] });
  const killWithUs = (): boolean => child.kill("SIGKILL");
  process.once("exit", killWithUs);
  child.once("exit", () => process.removeListener("exit", killWithUs));
  return new Promise((resolve, reject) => {
    let log = "";
    const timer = setTimeout(() => fail("is not ready in time"), readyTimeoutMs);
    const fail = (what: string): void => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      reject(new Error(`redis-server ${args.join(" ")} ${what}:\n${log}`));
    };
    const onExit = (): void => fail("ended");
    child.once("error", (error) => fail(error.message));
    child.once("exit", onExit);
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (text: string) => {
      // After it is ready the log is read on, or a full pipe would stop the server.
      if (log.includes("Ready to accept connections")) return;
      log += text;
      if (!log.includes("Ready to accept connections")) return;
      clearTimeout(timer);
      child.removeListener("exit", onExit);
      resolve(child);
    });
    // The server must not keep a test process alive that forgot to stop it.
    child.unref();
  });
}
