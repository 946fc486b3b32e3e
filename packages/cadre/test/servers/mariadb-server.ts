/**
 * A MariaDB server of the test's own: a free port, a folder that goes with it, no password.
 *
 *   start ──▶ ready ──kill()──▶ down ──restart()──▶ ready (same port, same folder)
 *               └─────────────stop()─────────────▶ gone: process ended, folder removed
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { createConnection } from "mysql2/promise";
import { findServerByName } from "../../../../scripts/servers.ts";
import { freePort, makeTempFolder } from "./temporary.ts";

export interface MariadbServer {
  /** Of the database `test`. */
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now; undefined while it is down. */
  readonly pid: number | undefined;
  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string>;
  /** SIGKILL: nothing is flushed. Resolves when the process is gone. */
  kill(): Promise<void>;
  /** Ends the process if it runs, in order, and starts another on the same port and folder. */
  restart(): Promise<void>;
  /** Ends the process and removes its folder. Doing it twice does nothing. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface Launch {
  readonly binary: string;
  readonly folder: string;
  readonly port: number;
}

const readyTimeoutMs = 30_000;
const startTries = 3; // between choosing a port and binding it, another process may take it

/** Where the server's executable is; undefined where there is none, and its tests can't run. */
export function mariadbServerPath(): string | undefined {
  return findServerByName("mariadb");
}

/** Makes a data folder, starts its server, and waits until it takes connections. */
export async function startMariadbServer(): Promise<MariadbServer> {
  const binary = mariadbServerPath();
  if (binary === undefined) throw new Error("There is no mariadbd; see scripts/servers.ts.");
  const folder = await makeTempFolder();
  for (let tries = 1; ; tries += 1) {
    const launch = { binary, folder, port: await freePort() };
    try {
      if (tries === 1) await makeDataFolder(folder);
      const server = new OwnedServer(launch, await start(launch));
      await server.createDatabase("test");
      return server;
    } catch (error) {
      if (tries < startTries) continue;
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }
}

class OwnedServer implements MariadbServer {
  readonly url: string;
  readonly port: number;
  readonly #launch: Launch;
  #child: ChildProcess | undefined;
  #databases = 0;

  constructor(launch: Launch, child: ChildProcess) {
    this.#launch = launch;
    this.#child = child;
    this.port = launch.port;
    this.url = urlOf(launch.port, "test");
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async createDatabase(name: string = `test_${++this.#databases}`): Promise<string> {
    const connection = await createConnection(urlOf(this.port, ""));
    await connection.query(`CREATE DATABASE IF NOT EXISTS ${name}`);
    await connection.end();
    return urlOf(this.port, name);
  }

  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  async restart(): Promise<void> {
    await this.#end("SIGTERM");
    this.#child = await start(this.#launch);
  }

  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    await rm(this.#launch.folder, { recursive: true, force: true, maxRetries: 10 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await exited;
    clearTimeout(timer);
  }
}

function urlOf(port: number, database: string): string {
  return `mysql://root@127.0.0.1:${port}/${database}`;
}

/** As root, the server wants to be told that it may stay root. */
function asUser(): readonly string[] {
  return process.getuid?.() === 0 ? ["--user=root"] : [];
}

async function makeDataFolder(folder: string): Promise<void> {
  await chmod(folder, 0o700);
  const data = join(folder, "data");
  await mkdir(data);
  const args = ["--no-defaults", `--datadir=${data}`, "--auth-root-authentication-method=normal"];
  execFileSync("mariadb-install-db", [...args, "--skip-test-db", ...asUser()], {
    stdio: ["ignore", "ignore", "pipe"],
    cwd: folder,
  });
}

/** Resolves when the server takes connections; rejects with its log when it ends before. */
async function start({ binary, folder, port }: Launch): Promise<ChildProcess> {
  const args = [
    "--no-defaults",
    `--datadir=${join(folder, "data")}`,
    `--socket=${join(folder, "socket")}`,
    `--pid-file=${join(folder, "pid")}`,
    `--port=${port}`,
    "--bind-address=127.0.0.1",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=32M",
    ...asUser(),
  ];
  const child = spawn(binary, args, { stdio: ["ignore", "ignore", "pipe"], cwd: folder });
  const killWithUs = (): boolean => child.kill("SIGKILL");
  process.once("exit", killWithUs);
  child.once("exit", () => process.removeListener("exit", killWithUs));
  let log = "";
  child.stderr.setEncoding("utf8");
  // After it is ready the log is read on, or a full pipe would stop the server.
  child.stderr.on("data", (text: string) => (log = (log + text).slice(-8_000)));
  try {
    await untilReady(child, port);
  } catch (error) {
    child.kill("SIGKILL");
    throw new Error(`mariadbd on port ${port} did not start:\n${log}`, { cause: error });
  }
  // The server must not keep a test process alive that forgot to stop it.
  child.unref();
  return child;
}

async function untilReady(child: ChildProcess, port: number): Promise<void> {
  const giveUpAt = performance.now() + readyTimeoutMs;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("It ended.");
    try {
      const connection = await createConnection(urlOf(port, ""));
      await connection.end();
      return;
    } catch (error) {
      if (performance.now() > giveUpAt) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
