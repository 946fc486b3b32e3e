/**
 * A PostgreSQL server of the test's own: a new cluster, a free port, a folder that goes with it.
 *
 *   start ──▶ ready ──kill()──▶ down ──restart()──▶ ready (same port, same folder)
 *               └─────────────stop()─────────────▶ gone: processes ended, folder removed
 *
 * The server refuses to run as root; then the user `postgres` runs it. `fsync` stays on.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { realpathSync } from "node:fs";
import { appendFile, chmod, chown, mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { findServerByName } from "../../../../scripts/servers.ts";
import { freePort, makeTempFolder } from "./temporary.ts";

export interface PostgresServer {
  /** Of the database `postgres`, as its superuser, without a password. */
  readonly url: string;
  readonly port: number;
  /** The cluster's folder: configuration files are here. */
  readonly dataFolder: string;
  /** Of the process that runs now; undefined while it is down. */
  readonly pid: number | undefined;
  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string>;
  /** Runs SQL in one database, with psql. Returns what it answers, without alignment or header. */
  run(sql: string, url?: string): string;
  /** SIGKILL of all of the server's processes: nothing is flushed. Resolves when it is gone. */
  kill(): Promise<void>;
  /** Ends the process if it runs, in order, and starts another on the same port and folder. */
  restart(): Promise<void>;
  /** Ends the process and removes its folder. Doing it twice does nothing. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface PostgresServerOptions {
  /** Lines for the end of `postgresql.conf`. */
  readonly settings?: readonly string[];
}

interface User {
  readonly uid: number;
  readonly gid: number;
}

interface Launch {
  readonly binaries: string;
  readonly folder: string;
  readonly port: number;
  readonly user: User | undefined;
}

const readyTimeoutMs = 20_000;
const startTries = 3; // between choosing a port and binding it, another process may take it
const readyLine = "database system is ready to accept connections";

/** Where the server's executable is; undefined where there is none, and its tests can't run. */
export function postgresServerPath(): string | undefined {
  return findServerByName("postgres");
}

/** Makes a cluster, starts its server, and waits until it takes connections. */
export async function startPostgresServer(
  options: PostgresServerOptions = {},
): Promise<PostgresServer> {
  const binary = postgresServerPath();
  if (binary === undefined) throw new Error("There is no postgres; see scripts/servers.ts.");
  const binaries = dirname(realpathSync(binary)); // initdb and psql are beside it
  const user = process.getuid?.() === 0 ? userNamed("postgres") : undefined;
  const folder = await makeTempFolder();
  for (let tries = 1; ; tries += 1) {
    const launch: Launch = { binaries, folder, port: await freePort(), user };
    try {
      if (tries === 1) await makeCluster(launch, options.settings ?? []);
      return new OwnedServer(launch, await start(launch));
    } catch (error) {
      if (tries < startTries) continue;
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }
}

class OwnedServer implements PostgresServer {
  readonly url: string;
  readonly port: number;
  readonly dataFolder: string;
  readonly #launch: Launch;
  #child: ChildProcess | undefined;
  #databases = 0;

  constructor(launch: Launch, child: ChildProcess) {
    this.#launch = launch;
    this.#child = child;
    this.port = launch.port;
    this.dataFolder = dataFolder(launch.folder);
    this.url = this.#urlOf("postgres");
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async createDatabase(): Promise<string> {
    this.#databases += 1;
    const name = `test_${this.#databases}`;
    this.run(`CREATE DATABASE ${name}`);
    return this.#urlOf(name);
  }

  run(sql: string, url: string = this.url): string {
    const args = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, url];
    const binary = join(this.#launch.binaries, "psql");
    return execFileSync(binary, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  async kill(): Promise<void> {
    const pid = this.pid;
    // The server's children notice that it is gone; those that hang in a query are killed with it.
    const children = pid === undefined ? [] : childrenOf(pid);
    await this.#end("SIGKILL");
    for (const child of children) killQuietly(child);
  }

  async restart(): Promise<void> {
    await this.#end("SIGINT");
    this.#child = await start(this.#launch);
  }

  async stop(): Promise<void> {
    await this.#end("SIGINT");
    await rm(this.#launch.folder, { recursive: true, force: true, maxRetries: 10 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #urlOf(database: string): string {
    return `postgres://postgres@127.0.0.1:${this.#launch.port}/${database}`;
  }

  async #end(signal: "SIGKILL" | "SIGINT"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined) await end(child, signal);
  }
}

function dataFolder(folder: string): string {
  return join(folder, "data");
}

function userNamed(name: string): User {
  const id = (flag: string): number =>
    Number(execFileSync("id", [flag, name], { encoding: "utf8" }).trim());
  return { uid: id("-u"), gid: id("-g") };
}

async function makeCluster(launch: Launch, settings: readonly string[]): Promise<void> {
  const { binaries, folder, user } = launch;
  await mkdir(dataFolder(folder), { recursive: true });
  if (user !== undefined) {
    await chmod(folder, 0o700);
    for (const path of [folder, dataFolder(folder)]) await chown(path, user.uid, user.gid);
  }
  const args = ["-D", dataFolder(folder), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"];
  execFileSync(join(binaries, "initdb"), [...args, "--locale=C"], {
    stdio: ["ignore", "ignore", "pipe"],
    cwd: folder,
    ...user,
  });
  const lines = ["max_connections = 60", "shared_buffers = 32MB", ...settings];
  await appendFile(join(dataFolder(folder), "postgresql.conf"), `\n${lines.join("\n")}\n`);
}

async function end(child: ChildProcess, signal: "SIGKILL" | "SIGINT"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  // A server that was frozen or hangs does not hear SIGINT.
  const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
  await exited;
  clearTimeout(timer);
}

function childrenOf(pid: number): readonly number[] {
  try {
    const text = execFileSync("ps", ["-o", "pid=", "--ppid", String(pid)], { encoding: "utf8" });
    return text.split("\n").map(Number).filter(Boolean);
  } catch {
    return []; // it has none, or the system's `ps` knows no such option: they end by themselves
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

/** Starts the server; where the last one was killed, its children may still hold the folder. */
async function start(launch: Launch): Promise<ChildProcess> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await launchOnce(launch);
    } catch (error) {
      const isHeld = String(error).includes("pre-existing shared memory block");
      if (!isHeld || tries === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Resolves when the server's log says that it is ready; rejects with the log when it ends before. */
function launchOnce({ binaries, folder, port, user }: Launch): Promise<ChildProcess> {
  const listen = ["-p", String(port), "-h", "127.0.0.1", "-k", folder];
  const child = spawn(join(binaries, "postgres"), ["-D", dataFolder(folder), ...listen], {
    stdio: ["ignore", "ignore", "pipe"],
    cwd: folder,
    ...user,
  });
  const killWithUs = (): boolean => child.kill("SIGKILL");
  process.once("exit", killWithUs);
  child.once("exit", () => process.removeListener("exit", killWithUs));
  return new Promise((resolve, reject) => {
    let log = "";
    const timer = setTimeout(() => fail("is not ready in time"), readyTimeoutMs);
    const fail = (what: string): void => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      reject(new Error(`postgres on port ${port} ${what}:\n${log}`));
    };
    const onExit = (): void => fail("ended");
    child.once("error", (error) => fail(error.message));
    child.once("exit", onExit);
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (text: string) => {
      // After it is ready the log is read on, or a full pipe would stop the server.
      if (log.includes(readyLine)) return;
      log += text;
      if (!log.includes(readyLine)) return;
      clearTimeout(timer);
      child.removeListener("exit", onExit);
      resolve(child);
    });
    // The server must not keep a test process alive that forgot to stop it.
    child.unref();
    (child.stderr as unknown as { unref(): void }).unref(); // a pipe is a socket in Node
  });
}
