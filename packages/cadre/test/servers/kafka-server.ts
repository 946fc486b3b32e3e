/**
 * A Kafka of the test's own in KRaft mode: one node that is broker and controller.
 * `CADRE_TEST_KAFKA_URL` names one that runs already.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { findServerByName } from "../../../../scripts/servers.ts";
import { OwnServer, startInFolder } from "./own-server.ts";
import { launch, type Program } from "./server-process.ts";
import { freePort } from "./temporary.ts";

export type KafkaServer = OwnServer;

export interface KafkaServerOptions {
  /** More lines of `server.properties`, or others instead. */
  readonly properties?: Readonly<Record<string, string>>;
  /** What clients speak on the port. @default "PLAINTEXT" */
  readonly protocol?: "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL";
  /** Where clients are told to connect, when something stands in between. */
  readonly advertisedPort?: number;
}

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
export function startKafkaServer(options: KafkaServerOptions = {}): Promise<KafkaServer> {
  const jars = kafkaServerPath();
  if (jars === undefined) throw new Error("There is no Kafka; see scripts/servers.ts.");
  return startInFolder(async (folder) => {
    const [port, controllerPort] = [await freePort(), await freePort()];
    await mkdir(join(folder, "data"));
    const properties = propertiesOf(folder, port, controllerPort, options);
    await writeFile(join(folder, "server.properties"), properties);
    await format(jars, folder);
    const program: Program = {
      name: "Kafka",
      command: "java",
      args: javaArguments(jars, "kafka.Kafka", [join(folder, "server.properties")]),
      ready: { stream: "stderr", text: "Kafka Server started" },
      timeoutMs: 60_000,
    };
    const url = `kafka://127.0.0.1:${port}`;
    const start = (): Promise<ChildProcess> => launch(program);
    return OwnServer.start({ url, port, folder, launch: start, stopSignal: "SIGKILL" });
  });
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
