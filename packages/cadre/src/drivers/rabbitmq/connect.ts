/**
 * Opens the connection of a URL. The client library is loaded when it is needed for the first time.
 */
import { formatOfUrl } from "../../core/codec/wire-choice.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import type { RabbitClientLike } from "./client.ts";
import type { RabbitmqOptions, Settings } from "./rabbitmq-options.ts";

const library = "amqplib";
const firstPauseMs = 100;
const mostPauseMs = 2_000;

type Connect = (url: string, socket: object) => Promise<RabbitClientLike>;

/** @throws {CadreError} MISSING_LIBRARY */
async function loadLibrary(): Promise<Connect> {
  try {
    const { connect: open } = await import("amqplib");
    return (url, socket) => open(url, socket);
  } catch (error) {
    const install = `npm install ${library}`;
    const message = `RabbitMQ is reached with ${library}, which is not installed. Run: ${install}`;
    throw new CadreError("MISSING_LIBRARY", message, { library, install }, error);
  }
}

/** Where a URL leads. */
export interface Address {
  /** The servers without credentials, for messages. */
  readonly shown: string;
  /** Tried in turn. */
  readonly urls: readonly string[];
}

/**
 * `amqp://HOST:PORT`, `amqp://USER:PASSWORD@HOST:PORT/VHOST`, `amqps://…`; several, separated by
 * commas.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function parseAddress(text: string): Address {
  const urls = text.split(",").map((part) => parseUrl(part.trim()));
  const shown = urls.map(({ protocol, hostname, port, pathname }) => {
    const place = port === "" ? (protocol === "amqps:" ? "5671" : "5672") : port;
    return `${protocol}//${hostname}:${place}${pathname === "/" ? "" : pathname}`;
  });
  for (const url of urls) for (const name of ourOptions) url.searchParams.delete(name);
  return { shown: shown.join(","), urls: urls.map((url) => url.href) };
}

const ourOptions = ["prefix", "format"];

/** What a URL says to the transport after its `?`; the rest is the client's own. */
export function optionsOf(text: string): Pick<RabbitmqOptions, "prefix" | "format"> {
  const options: { prefix?: string; format?: NonNullable<RabbitmqOptions["format"]> } = {};
  for (const part of text.split(",")) {
    const { searchParams } = parseUrl(part.trim());
    const prefix = searchParams.get("prefix");
    if (prefix !== null) options.prefix = prefix;
    Object.assign(options, formatOfUrl(searchParams.get("format")));
  }
  return options;
}

function parseUrl(text: string): URL {
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `amqp://${text}`);
  if (url && ["amqp:", "amqps:"].includes(url.protocol) && url.hostname !== "") return url;
  const value = text.replace(/\/\/[^@/]*@/, "//…@"); // what stands in front of the host is secret
  throw new CadreError(
    "INVALID_OPTION",
    `"${value}" is no address of a RabbitMQ server. Give amqp://HOST:PORT or amqps://HOST:PORT.`,
    { option: "connection", value },
  );
}

/**
 * Connects, and tries again with growing pauses until `forMs` is over.
 *
 * @throws {CadreError} UNREACHABLE, with what was tried and why the last try failed
 */
export async function connect(
  address: Address,
  settings: Settings,
  forMs: number,
  signal: AbortSignal,
): Promise<RabbitClientLike> {
  const { clock, random, heartbeatMs } = settings;
  const open = await loadLibrary();
  const end = clock.monotonic() + forMs;
  for (let tried = 1; ; tried += 1) {
    const url = new URL(address.urls[(tried - 1) % address.urls.length]!);
    if (!url.searchParams.has("heartbeat")) {
      url.searchParams.set("heartbeat", String(Math.max(1, Math.round(heartbeatMs / 1_000))));
    }
    const leftMs = Math.max(1, Math.ceil(end - clock.monotonic()));
    const timeout = Math.min(leftMs, 5_000);
    try {
      return await open(url.href, {
        clientProperties: { connection_name: "cadre" },
        ...settings.connection,
        noDelay: true,
        timeout,
      });
    } catch (error) {
      const pauseMs = Math.min(mostPauseMs, firstPauseMs * 2 ** Math.min(tried - 1, 10));
      const pause = Math.round(pauseMs * (0.5 + random.next() / 2));
      if (signal.aborted || isFinal(error) || clock.monotonic() + pause >= end) {
        throw unreachable(address.shown, tried, error);
      }
      await clock.sleep(pause, signal);
    }
  }
}

/** Asking again with the same credentials changes nothing. */
function isFinal(error: unknown): boolean {
  return error instanceof Error && /ACCESS[_-]REFUSED|403 /.test(error.message);
}

function unreachable(url: string, tried: number, cause: unknown): CadreError {
  const times = tried === 1 ? "once" : `${tried} times`;
  const message =
    `No RabbitMQ server could be reached at ${url}, tried ${times}: ` +
    `${describeError(cause).message}. Start it, or fix the address and credentials.`;
  return new CadreError("UNREACHABLE", message, { url, tried }, cause);
}
