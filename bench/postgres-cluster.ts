/** A PostgreSQL server of a row's own, which all its contenders share: each has its database. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
} from "node:fs";
import { rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import { findServerByName } from "../scripts/servers.ts";
import type { Served } from "./row.ts";

const variable = "CADRE_BENCH_POSTGRES";
const readyLine = "database system is ready to accept connections";
// As it is delivered but for room for everybody: a commit waits for the disk.
const settings = ["max_connections = 200", "shared_buffers = 128MB", "max_wal_size = 2GB"];

/** Starts the server, or says why there is none. */
export async function servePostgres(): Promise<Served | string> {
  const binary = findServerByName("postgres");
  if (binary === undefined) return "there is no postgres; see scripts/servers.ts";
  const binaries = dirname(realpathSync(binary)); // initdb is beside it
  const folder = mkdtempSync(join(process.env["CADRE_BENCH_DIR"] ?? tmpdir(), "cadre-bench-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  try {
    const user = process.getuid?.() === 0 ? userNamed("postgres") : undefined;
    makeCluster(binaries, folder, user);
    const port = await freePort();
    const child = await start(binaries, folder, port, user);
    return {
      env: { [variable]: `postgres://postgres@127.0.0.1:${port}/postgres` },
      async stop() {
        const gone = once(child, "exit");
        child.kill("SIGINT");
        await gone;
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

/** Makes an empty database on the row's server and returns its URL. */
export async function makeDatabase(): Promise<string> {
  const url = process.env[variable];
  if (url === undefined) throw new Error(`${variable} does not say where the server is`);
  const name = `bench_${process.pid}`;
  await onDatabase(url, (client) => client.query(`CREATE DATABASE ${name}`));
  return url.replace(/postgres$/, name);
}

/** The number that a query answers. */
export async function numberOf(url: string, text: string): Promise<number> {
  const answer = await onDatabase(url, (client) =>
    client.query<[unknown]>({ text, rowMode: "array" }),
  );
  return Number(answer.rows[0]?.[0]);
}

async function onDatabase<Result>(
  url: string,
  work: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

interface User {
  readonly uid: number;
  readonly gid: number;
}

/** The server refuses to run as root. */
function userNamed(name: string): User {
  const id = (flag: string): number => Number(execFileSync("id", [flag, name]));
  return { uid: id("-u"), gid: id("-g") };
}

function makeCluster(binaries: string, folder: string, user: User | undefined): void {
  const data = join(folder, "data");
  mkdirSync(data);
  if (user !== undefined) {
    chmodSync(folder, 0o700);
    for (const path of [folder, data]) chownSync(path, user.uid, user.gid);
  }
  const args = ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N", "--locale=C"];
  execFileSync(join(binaries, "initdb"), args, { stdio: "ignore", cwd: folder, ...user });
  appendFileSync(join(data, "postgresql.conf"), `\n${settings.join("\n")}\n`);
}

async function start(
  binaries: string,
  folder: string,
  port: number,
  user: User | undefined,
): Promise<ChildProcess> {
  const args = ["-D", join(folder, "data"), "-p", String(port), "-h", "127.0.0.1", "-k", folder];
  const child = spawn(join(binaries, "postgres"), args, {
    stdio: ["ignore", "ignore", "pipe"],
    cwd: folder,
    ...user,
  });
  process.once("exit", () => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  let log = "";
  child.stderr.setEncoding("utf8");
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`postgres ended: ${log}`)));
    // The log is read on for ever, or a full pipe would stop the server.
    child.stderr.on("data", (text: string) => {
      if (log.includes(readyLine)) return;
      log += text;
      if (log.includes(readyLine)) resolve();
    });
  });
  return child;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
