/**
 * A RabbitMQ server of the test's own, with little memory.
 *
 * The script is started itself, not the distribution's wrapper, which changes the user. The port
 * mapper that Erlang starts beside it has a port of its own and ends with the server.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { findServerByName } from "../../../../scripts/servers.ts";
import { OwnServer, startInFolder } from "./own-server.ts";
import { endProcess, endWithUs } from "./server-process.ts";
import { freePort } from "./temporary.ts";

export type RabbitmqServer = OwnServer;

interface Place {
  readonly script: string;
  readonly folder: string;
  readonly port: number;
  readonly distPort: number;
  readonly mapperPort: number;
}

const readyTimeoutMs = 120_000; // a server that starts takes seconds, on a busy machine many
const config = [
  "loopback_users = none",
  "vm_memory_high_watermark.absolute = 512MB",
  "disk_free_limit.absolute = 50MB",
  "log.file.level = warning",
  "heartbeat = 10",
];

const erlangArguments = [
  "+S 2:2 +sbwt none",
  // When a delay ends while its group's queue still starts, the server tries again after so many
  // milliseconds: three minutes unless told.
  "-rabbit dead_letter_worker_publisher_confirm_timeout 1000",
];

/** Where the server's script is; undefined where there is none, and its tests can't run. */
export function rabbitmqServerPath(): string | undefined {
  return findServerByName("rabbitmq-server");
}

/**
 * Starts a server and waits until it takes connections.
 * @param more lines of its configuration file; a later line counts
 */
export function startRabbitmqServer(more: readonly string[] = []): Promise<RabbitmqServer> {
  const script = rabbitmqServerPath();
  if (script === undefined) throw new Error("There is no rabbitmq-server; see scripts/servers.ts.");
  return startInFolder(async (folder) => {
    await writeFile(join(folder, "rabbitmq.conf"), `${[...config, ...more].join("\n")}\n`);
    await writeFile(join(folder, "enabled_plugins"), "[].\n");
    await mkdir(join(folder, "log"));
    const [port, distPort, mapperPort] = await Promise.all([freePort(), freePort(), freePort()]);
    const place = { script, folder, port, distPort, mapperPort };
    return OwnServer.start({
      ...{ url: `amqp://guest:guest@127.0.0.1:${port}`, port, folder },
      launch: () => launch(place),
      end: (child, signal) => end(place, child, signal),
    });
  });
}

async function end(place: Place, child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  await endProcess(child, signal, (which) => signalGroup(child, which));
  // The script has ended; the virtual machine that it has started may need a moment more.
  for (let tries = 0; tries < 100 && (await greets(place.port)); tries += 1) await pause(50);
  await endMapper(place.mapperPort);
}

/** The script has started the virtual machine: both are one process group of their own. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // It is gone already.
  }
}

function environment({ folder, port, distPort, mapperPort }: Place): NodeJS.ProcessEnv {
  return {
    PATH: process.env["PATH"],
    LANG: "C.UTF-8",
    HOME: folder,
    RABBITMQ_NODENAME: `cadre${port}@localhost`,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_MNESIA_BASE: join(folder, "mnesia"),
    RABBITMQ_LOG_BASE: join(folder, "log"),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "enabled_plugins"),
    RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq.conf"),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: erlangArguments.join(" "),
    ERL_EPMD_PORT: String(mapperPort),
    ERL_EPMD_ADDRESS: "127.0.0.1",
  };
}

/** Resolves when the server greets; rejects with what it said when it ends before. */
async function launch(place: Place): Promise<ChildProcess> {
  const child = spawn(place.script, [], {
    cwd: place.folder,
    detached: true,
    env: environment(place),
    stdio: ["ignore", "pipe", "pipe"],
  });
  endWithUs(child, () => signalGroup(child, "SIGKILL"));
  let said = "";
  let failure: string | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4_000)));
  }
  child.once("error", (error) => (failure = error.message));
  child.once("exit", () => (failure ??= "ended"));
  const giveUpAt = Date.now() + readyTimeoutMs;
  while (failure === undefined && Date.now() < giveUpAt) {
    if (await greets(place.port)) return child;
    await pause(100);
  }
  signalGroup(child, "SIGKILL");
  const log = await readFile(
    join(place.folder, "log", `cadre${place.port}@localhost.log`),
    "utf8",
  ).catch(() => "");
  const what = failure ?? "is not ready in time";
  throw new Error(`rabbitmq-server on port ${place.port} ${what}:\n${said}\n${log}`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Whether the server answers the first bytes of the protocol: it listens only when it is whole. */
async function greets(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    socket.write("AMQP\0\0\x09\x01");
    const [first] = (await once(socket, "data", { signal: AbortSignal.timeout(5_000) })) as [
      Buffer,
    ];
    return first[0] === 1; // a method: connection.start
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The port mapper takes an order to end when no node is registered with it any more. */
async function endMapper(port: number): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    socket.write(Buffer.from([0, 1, 107])); // length, and `k` for kill
    socket.resume(); // or its end is never seen
    await once(socket, "close", { signal: AbortSignal.timeout(2_000) });
  } catch {
    // It has not been started, or has ended already.
  } finally {
    socket.destroy();
  }
}
