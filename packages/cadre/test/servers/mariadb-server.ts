/** A MariaDB server of the test's own, without a password. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createConnection } from "mysql2/promise";
import { findServerByName } from "../../../../scripts/servers.ts";
import { OwnServer, startInFolder } from "./own-server.ts";
import { endWithUs, hasEnded } from "./server-process.ts";
import { freePort } from "./temporary.ts";

/** Its URL is of the database `test`. */
export type MariadbServer = OwnServer & {
  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string>;
};

const readyTimeoutMs = 30_000;

/** Where the server's executable is; undefined where there is none, and its tests can't run. */
export function mariadbServerPath(): string | undefined {
  return findServerByName("mariadb");
}

/** Makes a data folder, starts its server, and waits until it takes connections. */
export function startMariadbServer(): Promise<MariadbServer> {
  const binary = mariadbServerPath();
  if (binary === undefined) throw new Error("There is no mariadbd; see scripts/servers.ts.");
  return startInFolder(async (folder) => {
    const port = await freePort();
    await makeDataFolder(folder);
    const url = urlOf(port, "test");
    const launch = (): Promise<ChildProcess> => start(binary, folder, port);
    const server = await OwnServer.start({ url, port, folder, launch });
    await createDatabase(port, "test");
    let databases = 0;
    return Object.assign(server, {
      createDatabase: () => createDatabase(port, `test_${(databases += 1)}`),
    });
  });
}

async function createDatabase(port: number, name: string): Promise<string> {
  const connection = await createConnection(urlOf(port, ""));
  await connection.query(`CREATE DATABASE IF NOT EXISTS ${name}`);
  await connection.end();
  return urlOf(port, name);
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
async function start(binary: string, folder: string, port: number): Promise<ChildProcess> {
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
  endWithUs(child);
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
  return child;
}

async function untilReady(child: ChildProcess, port: number): Promise<void> {
  const giveUpAt = performance.now() + readyTimeoutMs;
  for (;;) {
    if (hasEnded(child)) throw new Error("It ended.");
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
