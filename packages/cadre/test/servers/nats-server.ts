/**
 * A NATS server of the test's own: JetStream on, a free port, a folder that goes with it.
 *
 *   start ──▶ ready ──kill()──▶ down ──restart()──▶ ready (same port, same folder)
 *               └─────────────stop()─────────────▶ gone: process ended, folder removed
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { findServerByName } from "../../../../scripts/servers.ts";
import { freePort, makeTempFolder } from "./temporary.ts";

export interface NatsServer {
  readonly url: string;
  readonly port: number;
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

const readyTimeoutMs = 10_000;
const startTries = 3; // between choosing a port and binding it, another process may take it

/** Where the server's executable is; undefined where there is none, and its tests can't run. */
export function natsServerPath(): string | undefined {
  return findServerByName("nats-server");
}

/**
 * Starts a server and waits until it takes connections.
 * @param more flags beside those for the port and the folder
 */
export async function startNatsServer(more: readonly string[] = []): Promise<NatsServer> {
  const binary = natsServerPath();
  if (binary === undefined) throw new Error("There is no nats-server; see scripts/servers.ts.");
  const folder = await makeTempFolder();
  for (let tries = 1; ; tries += 1) {
    const port = await freePort();
    try {
      const child = await launch(binary, port, folder, more);
      return new OwnedServer({ binary, folder, port, more, child });
    } catch (error) {
      if (tries < startTries) continue;
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }
}

class OwnedServer implements NatsServer {
  readonly url: string;
  readonly port: number;
  #binary: string;
  #folder: string;
  #more: readonly string[];
  #child: ChildProcess | undefined;

  constructor(start: {
    binary: string;
    folder: string;
    port: number;
    more: readonly string[];
    child: ChildProcess;
  }) {
    this.#binary = start.binary;
    this.#more = start.more;
    this.#folder = start.folder;
    this.#child = start.child;
    this.port = start.port;
    this.url = `nats://127.0.0.1:${start.port}`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  async restart(): Promise<void> {
    await this.#end("SIGTERM");
    this.#child = await launch(this.#binary, this.port, this.#folder, this.#more);
  }

  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
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

/** Resolves when the server's log says that it is ready; rejects with the log when it ends before. */
function launch(
  binary: string,
  port: number,
  folder: string,
  more: readonly string[],
): Promise<ChildProcess> {
  const args = ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", folder, ...more];
  const child = spawn(binary, args, { stdio: ["ignore", "ignore", "pipe"] });
  const killWithUs = (): boolean => child.kill("SIGKILL");
  process.once("exit", killWithUs);
  child.once("exit", () => process.removeListener("exit", killWithUs));
  return new Promise((resolve, reject) => {
    let log = "";
    const timer = setTimeout(() => fail("is not ready in time"), readyTimeoutMs);
    const fail = (what: string): void => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      reject(new Error(`nats-server on port ${port} ${what}:\n${log}`));
    };
    const onExit = (): void => fail("ended");
    child.once("error", (error) => fail(error.message));
    child.once("exit", onExit);
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (text: string) => {
      // After it is ready the log is read on, or a full pipe would stop the server.
      if (log.includes("Server is ready")) return;
      log += text;
      if (!log.includes("Server is ready")) return;
      clearTimeout(timer);
      child.removeListener("exit", onExit);
      resolve(child);
    });
    // The server must not keep a test process alive that forgot to stop it.
    child.unref();
  });
}
