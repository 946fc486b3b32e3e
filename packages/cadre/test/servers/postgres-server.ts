/**
 * A PostgreSQL server of the test's own: a new cluster, in a folder that goes with it.
 *
 * The server refuses to run as root; then the user `postgres` runs it. `fsync` stays on.
 */
import { type ChildProcess, execFileSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { appendFile, chmod, chown, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { findServerByName } from "../../../../scripts/servers.ts";
import { OwnServer, startInFolder } from "./own-server.ts";
import { endProcess, launch } from "./server-process.ts";
import { freePort } from "./temporary.ts";

/** Its URL is of the database `postgres`, as its superuser, without a password. */
export type PostgresServer = OwnServer & {
  /** The cluster's folder: configuration files are here. */
  readonly dataFolder: string;
  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string>;
  /** Runs SQL in one database, with psql. Returns what it answers, without alignment or header. */
  run(sql: string, url?: string): string;
};

export interface PostgresServerOptions {
  /** Lines for the end of `postgresql.conf`. */
  readonly settings?: readonly string[];
}

interface User {
  readonly uid: number;
  readonly gid: number;
}

interface Place {
  readonly binaries: string;
  readonly folder: string;
  readonly port: number;
  readonly user: User | undefined;
}

/** Where the server's executable is; undefined where there is none, and its tests can't run. */
export function postgresServerPath(): string | undefined {
  return findServerByName("postgres");
}

/** Makes a cluster, starts its server, and waits until it takes connections. */
export function startPostgresServer({
  settings = [],
}: PostgresServerOptions = {}): Promise<PostgresServer> {
  const binary = postgresServerPath();
  if (binary === undefined) throw new Error("There is no postgres; see scripts/servers.ts.");
  const binaries = dirname(realpathSync(binary)); // initdb and psql are beside it
  const user = process.getuid?.() === 0 ? userNamed("postgres") : undefined;
  return startInFolder(async (folder) => {
    const place: Place = { binaries, folder, port: await freePort(), user };
    await makeCluster(place, settings);
    const url = urlOf(place, "postgres");
    const server = await OwnServer.start({
      ...{ url, port: place.port, folder, end, signal: "SIGINT" },
      launch: () => start(place),
    });
    return Object.assign(server, databasesOf(place));
  });
}

function databasesOf(place: Place): Pick<PostgresServer, "dataFolder" | "createDatabase" | "run"> {
  let databases = 0;
  const run = (sql: string, url: string = urlOf(place, "postgres")): string => {
    const args = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, url];
    const binary = join(place.binaries, "psql");
    return execFileSync(binary, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  };
  const createDatabase = async (): Promise<string> => {
    databases += 1;
    const name = `test_${databases}`;
    run(`CREATE DATABASE ${name}`);
    return urlOf(place, name);
  };
  return { dataFolder: dataFolder(place.folder), createDatabase, run };
}

function urlOf({ port }: Place, database: string): string {
  return `postgres://postgres@127.0.0.1:${port}/${database}`;
}

function dataFolder(folder: string): string {
  return join(folder, "data");
}

function userNamed(name: string): User {
  const id = (flag: string): number =>
    Number(execFileSync("id", [flag, name], { encoding: "utf8" }).trim());
  return { uid: id("-u"), gid: id("-g") };
}

async function makeCluster(place: Place, settings: readonly string[]): Promise<void> {
  const { binaries, folder, user } = place;
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

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  // Its children notice that it was killed; those that hang in a query are killed with it.
  const children = signal === "SIGKILL" && child.pid !== undefined ? childrenOf(child.pid) : [];
  await endProcess(child, signal);
  for (const pid of children) killQuietly(pid);
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
async function start(place: Place): Promise<ChildProcess> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await launchOnce(place);
    } catch (error) {
      const isHeld = String(error).includes("pre-existing shared memory block");
      if (!isHeld || tries === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function launchOnce({ binaries, folder, port, user }: Place): Promise<ChildProcess> {
  return launch({
    name: `postgres on port ${port}`,
    command: join(binaries, "postgres"),
    args: ["-D", dataFolder(folder), "-p", String(port), "-h", "127.0.0.1", "-k", folder],
    options: { cwd: folder, ...user },
    ready: { stream: "stderr", text: "database system is ready to accept connections" },
    timeoutMs: 20_000,
  });
}
