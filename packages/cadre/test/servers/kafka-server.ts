/**
 * A Kafka of the test's own in KRaft mode: one node that is broker and controller, free ports, a
 * folder that goes with it. `CADRE_TEST_KAFKA_URL` names one that runs already.
 *
 *   start ──▶ ready ──kill()──▶ down ──restart()──▶ ready (same ports, same folder)
 *               └─────────────stop()─────────────▶ gone: process ended, folder removed
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { findServerByName } from "../../../../scripts/servers.ts";
import { freePort, makeTempFolder } from "./temporary.ts";

export interface KafkaServer {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
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

export interface KafkaServerOptions {
  /** More lines of `server.properties`, or others instead. */
  readonly properties?: Readonly<Record<string, string>>;
  /** What clients speak on the port. @default "PLAINTEXT" */
  readonly protocol?: "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL";
  /** Where clients are told to connect, when something stands in between. */
  readonly advertisedPort?: number;
}

const readyTimeoutMs = 60_000;
const startTries = 3; // between choosing ports and binding them, another process may take them
const clusterId = "Q2FkcmVUZXN0Q2x1c3Rlcg"; // any 16 bytes

/** Where the server's jars are; undefined where there are none, and its tests can't run. */
export function kafkaServerPath(): string | undefined {
  return findServerByName("kafka");
}

/** The address of a server that the user runs for the tests. */
export function kafkaServerUrl(): string | undefined {
  const url = process.env["CADRE_TEST_KAFKA_URL"];
  return url === "" ? undefined : url;
}

/** Starts a server and waits until it takes requests. */
export async function startKafkaServer(options: KafkaServerOptions = {}): Promise<KafkaServer> {
  const jars = kafkaServerPath();
  if (jars === undefined) throw new Error("There is no Kafka; see scripts/servers.ts.");
  const folder = await makeTempFolder();
  for (let tries = 1; ; tries += 1) {
    const [port, controllerPort] = [await freePort(), await freePort()];
    try {
      await mkdir(join(folder, "data"), { recursive: true });
      const properties = propertiesOf(folder, port, controllerPort, options);
      await writeFile(join(folder, "server.properties"), properties);
      await format(jars, folder);
      return new OwnedServer(jars, folder, port, await launch(jars, folder));
    } catch (error) {
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
      if (tries >= startTries) throw error;
    }
  }
}

function propertiesOf(
  folder: string,
  port: number,
  controllerPort: number,
  { properties = {}, protocol = "PLAINTEXT", advertisedPort = port }: KafkaServerOptions,
): string {
  const all: Record<string, string> = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": `1@127.0.0.1:${controllerPort}`,
    listeners: `CLIENTS://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    "advertised.listeners": `CLIENTS://127.0.0.1:${advertisedPort}`,
    "listener.security.protocol.map": `CLIENTS:${protocol},CONTROLLER:PLAINTEXT`,
    "inter.broker.listener.name": "CLIENTS",
    "controller.listener.names": "CONTROLLER",
    "log.dirs": join(folder, "data"),
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "2",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.coordinator.append.linger.ms": "0", // a commit waits 5 ms for others otherwise
    "group.min.session.timeout.ms": "500",
    // After a SIGKILL the broker's old registration has to end before the new one is taken.
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "300",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "10485760",
    ...properties,
  };
  return Object.entries(all)
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
}

function javaArguments(jars: string, main: string, args: readonly string[]): string[] {
  const classPath = join(jars, "*") + (process.platform === "win32" ? delimiter : "");
  return [
    ...["-Xmx384m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"],
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info", // says when it is ready
    ...["-cp", classPath, main, ...args],
  ];
}

async function format(jars: string, folder: string): Promise<void> {
  const args = ["format", "-t", clusterId, "-c", join(folder, "server.properties")];
  const child = spawn("java", javaArguments(jars, "kafka.tools.StorageTool", args), {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += String(chunk)));
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`Kafka's folder could not be prepared: ${said}`);
}

class OwnedServer implements KafkaServer {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  readonly #jars: string;
  #child: ChildProcess | undefined;

  constructor(jars: string, folder: string, port: number, child: ChildProcess) {
    this.#jars = jars;
    this.#child = child;
    this.folder = folder;
    this.port = port;
    this.url = `kafka://127.0.0.1:${port}`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  async restart(): Promise<void> {
    await this.#end("SIGTERM");
    this.#child = await launch(this.#jars, this.folder);
  }

  async stop(): Promise<void> {
    await this.#end("SIGKILL"); // its folder goes too
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 });
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
    // A server that was frozen or hangs does not hear SIGTERM.
    const timer = setTimeout(() => child.kill("SIGKILL"), 15_000);
    await exited;
    clearTimeout(timer);
  }
}

/**
 * Resolves when the server says that it is ready; rejects with what it said when it ends before.
 */
function launch(jars: string, folder: string): Promise<ChildProcess> {
  const args = javaArguments(jars, "kafka.Kafka", [join(folder, "server.properties")]);
  const child = spawn("java", args, { stdio: ["ignore", "ignore", "pipe"] });
  const killWithUs = (): boolean => child.kill("SIGKILL");
  process.once("exit", killWithUs);
  child.once("exit", () => process.removeListener("exit", killWithUs));
  return new Promise((resolve, reject) => {
    let log = "";
    let isReady = false;
    const timer = setTimeout(() => fail("is not ready in time"), readyTimeoutMs);
    const fail = (what: string): void => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      reject(new Error(`Kafka ${what}:\n${log.slice(-4_000)}`));
    };
    const onExit = (): void => fail("ended");
    child.once("error", (error) => fail(error.message));
    child.once("exit", onExit);
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (text: string) => {
      // After it is ready the log is read on, or a full pipe would stop the server.
      if (isReady) return;
      log += text;
      if (!log.includes("Kafka Server started")) return;
      isReady = true;
      clearTimeout(timer);
      child.removeListener("exit", onExit);
      resolve(child);
    });
    // The server must not keep a test process alive that forgot to stop it.
    child.unref();
  });
}
