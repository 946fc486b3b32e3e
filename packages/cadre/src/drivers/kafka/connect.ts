/**
 * Reaches the cluster of a URL. The client library is loaded when it is needed for the first time.
 */
import { CadreError } from "../../core/errors.ts";
import type { Address } from "./address.ts";
import type { KafkaClientLike, KafkaConnectionLike } from "./client.ts";
import { Cluster, type Connector } from "./cluster.ts";
import { closedError, deepest, isRefusedLogin } from "./kafka-error.ts";
import type { Settings } from "./kafka-options.ts";
import { loadLibrary, loadProtocol } from "./library.ts";

const firstPauseMs = 100;
const mostPauseMs = 2_000;

export type Target = Address | KafkaClientLike;

export function isAddress(target: Target): target is Address {
  return "shown" in target;
}

/**
 * The cluster, when one of its brokers has answered: tried again with growing pauses until
 * `connectTimeoutMs` is over.
 *
 * @throws {CadreError} MISSING_LIBRARY
 * @throws {CadreError} UNREACHABLE, with what was tried and why the last try failed
 */
export async function connectCluster(
  target: Target,
  settings: Settings,
  signal: AbortSignal,
): Promise<Cluster> {
  const { clock, random, connectTimeoutMs } = settings;
  const protocol = await loadProtocol();
  const url = isAddress(target) ? target.shown : "the given brokers";
  const connect = isAddress(target)
    ? await connectorOf(target, settings)
    : (broker: Parameters<Connector>[0]) => target.connect(broker);
  const parts = { protocol, settings, url, bootstrap: target.brokers, connect };
  const cluster = new Cluster(parts);
  const end = clock.monotonic() + connectTimeoutMs;
  for (let tried = 1; ; tried += 1) {
    try {
      await cluster.refresh([]);
      return cluster;
    } catch (error) {
      const pauseMs = Math.min(mostPauseMs, firstPauseMs * 2 ** Math.min(tried - 1, 10));
      const pause = Math.round(pauseMs * (0.5 + random.next() / 2));
      if (signal.aborted || isRefusedLogin(error) || clock.monotonic() + pause >= end) {
        await cluster.end();
        throw signal.aborted ? closedError() : unreachable(url, tried, error);
      }
      // An abort ends the pause; the next round sees it.
      await clock.sleep(pause, signal).catch(() => {});
    }
  }
}

/** Connections of the library's own, opened as the URL and `connection` say. */
async function connectorOf(address: Address, settings: Settings): Promise<Connector> {
  const { Connection } = await loadLibrary();
  const { requestTimeoutMs, sessionTimeoutMs, connection } = settings;
  const options = {
    connectTimeout: Math.min(5_000, requestTimeoutMs),
    // Ours end sooner; a join waits for the other members.
    requestTimeout: requestTimeoutMs + sessionTimeoutMs + 5_000,
    ...address.connection,
    ...connection,
  };
  return async ({ host, port }): Promise<KafkaConnectionLike> => {
    const opened = new Connection("cadre", options);
    opened.on("error", () => {}); // whoever waits for an answer is told
    await opened.connect(host, port);
    return opened;
  };
}

function unreachable(url: string, tried: number, cause: unknown): CadreError {
  const times = tried === 1 ? "once" : `${tried} times`;
  const message =
    `No Kafka broker could be reached at ${url}, tried ${times}: ${deepest(cause)}. ` +
    "Start one, or fix the address and credentials.";
  return new CadreError("UNREACHABLE", message, { url, tried }, cause);
}
