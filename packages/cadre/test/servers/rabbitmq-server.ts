/**
 * A RabbitMQ server of the test's own: free ports, a folder that goes with it, little memory.
 *
 *   start ──▶ ready ──kill()──▶ down ──restart()──▶ ready (same ports, same folder)
 *               └─────────────stop()─────────────▶ gone: process ended, folder removed
 *
 * The script is started itself, not the distribution's wrapper, which changes the user. The port
 * mapper that Erlang starts beside it has a port of its own and ends with the server.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { findServerByName } from "../../../../scripts/servers.ts";
import { freePort, makeTempFolder } from "./temporary.ts";

export interface RabbitmqServer {
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now; undefined while it is down. */
  readonly pid: number | undefined;
  /** SIGKILL: nothing is flushed. Resolves when the process is gone. */
  kill(): Promise<void>;
  /** Ends the process if it runs, in order, and starts another on the same ports and folder. */
  restart(): Promise<void>;
  /** Ends the process and removes its folder. Doing it twice does nothing. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface Place {
  readonly script: string;
  readonly folder: string;
  readonly port: number;
  readonly distPort: number;
  readonly mapperPort: number;
}

const readyTimeoutMs = 120_000; // a server that starts takes seconds, on a busy machine many
const startTries = 3; // between choosing a port and binding it, another process may take it
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
export async function startRabbitmqServer(more: readonly string[] = []): Promise<RabbitmqServer> {
  const script = rabbitmqServerPath();
  if (script === undefined) throw new Error("There is no rabbitmq-server; see scripts/servers.ts.");
  const folder = await makeTempFolder();
  await writeFile(join(folder, "rabbitmq.conf"), `${[...config, ...more].join("\n")}\n`);
  await writeFile(join(folder, "enabled_plugins"), "[].\n");
  await mkdir(join(folder, "log"));
  for (let tries = 1; ; tries += 1) {
    const [port, distPort, mapperPort] = await Promise.all([freePort(), freePort(), freePort()]);
    const place = { script, folder, port, distPort, mapperPort };
    try {
      return new OwnedServer(place, await launch(place));
    } catch (error) {
      if (tries < startTries) continue;
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }
}

class OwnedServer implements RabbitmqServer {
  readonly url: string;
  readonly port: number;
  readonly #place: Place;
  #child: ChildProcess | undefined;

  constructor(place: Place, child: ChildProcess) {
    this.#place = place;
    this.#child = child;
    this.port = place.port;
    this.url = `amqp://guest:guest@127.0.0.1:${place.port}`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  async restart(): Promise<void> {
    await this.#end("SIGTERM");
    this.#child = await launch(this.#place);
  }

  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    await endMapper(this.#place.mapperPort);
    await rm(this.#place.folder, { recursive: true, force: true, maxRetries: 10 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    await end(child, signal);
    // The script has ended; the virtual machine that it has started may need a moment more.
    for (let tries = 0; tries < 100 && (await greets(this.port)); tries += 1) await pause(50);
  }
}

async function end(child: ChildProcess, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  signalGroup(child, signal);
  // A server that was frozen or hangs does not hear SIGTERM.
  const timer = setTimeout(() => signalGroup(child, "SIGKILL"), 30_000);
  await exited;
  clearTimeout(timer);
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
  const killWithUs = (): void => signalGroup(child, "SIGKILL");
  process.once("exit", killWithUs);
  child.once("exit", () => process.removeListener("exit", killWithUs));
  let said = "";
  let failure: string | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4_000)));
    (stream as unknown as { unref?(): void }).unref?.(); // a pipe of a child is a socket
  }
  child.once("error", (error) => (failure = error.message));
  child.once("exit", () => (failure ??= "ended"));
  const giveUpAt = Date.now() + readyTimeoutMs;
  while (failure === undefined && Date.now() < giveUpAt) {
    if (await greets(place.port)) {
      // The server must not keep a test process alive that forgot to stop it.
      child.unref();
      return child;
    }
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
