/** A Redis server of the test's own, with an append-only file. */
import { findServerByName } from "../../../../scripts/servers.ts";
import { OwnServer, startInFolder } from "./own-server.ts";
import { launch } from "./server-process.ts";
import { freePort } from "./temporary.ts";

export type RedisServer = OwnServer;

export interface RedisServerOptions {
  /** When the server's file is synced to disk. @default "always" */
  readonly appendfsync?: "always" | "everysec" | "no";
  /** More arguments of `redis-server`; a function is handed the folder. */
  readonly args?: readonly string[] | ((folder: string) => readonly string[]);
}

/** Where the server's executable is; undefined where there is none, and its tests can't run. */
export function redisServerPath(): string | undefined {
  return findServerByName("redis-server");
}

/** Starts a server and waits until it takes connections. */
export function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const command = redisServerPath();
  if (command === undefined) throw new Error("There is no redis-server; see scripts/servers.ts.");
  return startInFolder(async (folder) => {
    const port = await freePort();
    const args = argumentsOf(port, folder, options);
    const program = {
      name: `redis-server ${args.join(" ")}`,
      command,
      args,
      ready: { stream: "stdout", text: "Ready to accept connections" },
      timeoutMs: 10_000,
    } as const;
    const url = `redis://127.0.0.1:${port}`;
    return OwnServer.start({ url, port, folder, launch: () => launch(program) });
  });
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
