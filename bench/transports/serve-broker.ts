/** A server of a row's own, whose resolved publishes survive what the driver says they survive. */
import { join } from "node:path";
import { makeDatabase, servePostgres } from "../postgres-cluster.ts";
import type { Served } from "../row.ts";
import type { Broker } from "./side.ts";

const variable = "CADRE_BENCH_BROKER";

/** What the tests start, as far as it is used here. */
interface OwnServer {
  readonly url: string;
  stop(): Promise<void>;
}

interface ServerModule {
  /** `natsServerPath`, `startNatsServer` … */
  readonly [name: string]: (options?: unknown) => unknown;
}

const folder = join(import.meta.dirname, "../../packages/cadre/test/servers");
const options: Readonly<Partial<Record<Broker, unknown>>> = {
  redis: { appendfsync: "always" },
  rabbitmq: ["vm_memory_high_watermark.absolute = 2GB"],
  // What is old goes soon, so that a long run does not fill the disk.
  kafka: { properties: { "log.retention.check.interval.ms": "10000", "log.roll.ms": "30000" } },
};

/** Starts the server, or says why there is none. */
export async function serveBroker(broker: Broker): Promise<Served | string> {
  if (broker === "postgres") return servePostgres();
  if (broker === "eventbridge") return serveMoto();
  const servers = (await import(join(folder, `${broker}-server.ts`))) as ServerModule;
  if (servers[`${broker}ServerPath`]!() === undefined) {
    return `there is no ${broker} here; see scripts/servers.ts`;
  }
  const start = servers[`start${broker.charAt(0).toUpperCase()}${broker.slice(1)}Server`]!;
  const server = (await start(options[broker])) as OwnServer;
  return { env: { [variable]: server.url }, stop: () => server.stop() };
}

/** A program in Python that speaks like AWS and keeps all in memory. */
async function serveMoto(): Promise<Served | string> {
  const { motoMissing, startMotoServer } = (await import(
    join(folder, "moto-server.ts")
  )) as ServerModule;
  const missing = motoMissing!();
  if (typeof missing === "string") return missing;
  const server = (await startMotoServer!()) as OwnServer & { readonly endpoint: string };
  const url = `eventbridge://us-east-1/bench?endpoint=${server.endpoint}`;
  return { env: { [variable]: url }, stop: () => server.stop() };
}

/** Where it is; of PostgreSQL, an empty database there. */
export async function brokerUrl(broker: Broker): Promise<string> {
  if (broker === "postgres") return makeDatabase();
  const url = process.env[variable];
  if (url === undefined) throw new Error(`${variable} does not say where the server is`);
  return url;
}
