/**
 * Opens the connection of a URL. The client library is loaded when it is needed for the first time.
 */
import { formatOfUrl } from "../../core/codec/wire-choice.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import type { NatsClientLike, NatsHeadersLike } from "./client.ts";
import type { NatsOptions, Settings } from "./nats-options.ts";

/** The part of the client library that is used. */
interface Library {
  connect(options: Readonly<Record<string, unknown>>): Promise<NatsClientLike>;
  headers(): NatsHeadersLike;
}

const library = "@nats-io/transport-node";
const firstPauseMs = 100;
const mostPauseMs = 2_000;
const pingEveryMs = 10_000; // a connection that is open and dead is noticed after three of them

/** @throws {CadreError} MISSING_LIBRARY */
export async function loadLibrary(): Promise<Library> {
  try {
    const { connect: open, headers } = await import("@nats-io/transport-node");
    return { connect: (options) => open(options), headers: () => headers() };
  } catch (error) {
    const install = `npm install ${library}`;
    const message = `The NATS transport needs ${library}, which is not installed. Run: ${install}`;
    throw new CadreError("MISSING_LIBRARY", message, { library, install }, error);
  }
}

/** Where a URL leads. */
export interface Address {
  /** The servers without credentials, for messages. */
  readonly shown: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * `nats://HOST:PORT`, `nats://USER:PASSWORD@HOST:PORT`, `nats://TOKEN@HOST:PORT`, `tls://…`;
 * several, separated by commas.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function parseAddress(text: string): Address {
  const servers: string[] = [];
  let credentials: Record<string, unknown> = {};
  let tls = false;
  for (const part of text.split(",")) {
    const url = parseUrl(part.trim());
    const { username, password } = url;
    servers.push(`${url.hostname}:${url.port === "" ? "4222" : url.port}`);
    tls ||= url.protocol === "tls:";
    if (username === "") continue;
    const user = decodeURIComponent(username);
    credentials = password === "" ? { token: user } : { user, pass: decodeURIComponent(password) };
  }
  const shown = servers.map((server) => `${tls ? "tls" : "nats"}://${server}`).join(",");
  return { shown, options: { servers, ...credentials, ...(tls ? { tls: {} } : {}) } };
}

/** What a URL says after its `?`. @throws {CadreError} INVALID_OPTION */
export function optionsOf(text: string): Pick<NatsOptions, "prefix" | "format"> {
  const options: { prefix?: string; format?: NonNullable<NatsOptions["format"]> } = {};
  for (const part of text.split(",")) {
    for (const [name, value] of parseUrl(part.trim()).searchParams) {
      if (name === "prefix") options.prefix = value;
      else if (name === "format") Object.assign(options, formatOfUrl(value));
      else {
        const message =
          `"${name}" is no option of a NATS URL. Give prefix or format there, ` +
          "or use the options of nats().";
        throw new CadreError("INVALID_OPTION", message, { option: name, value });
      }
    }
  }
  return options;
}

function parseUrl(text: string): URL {
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `nats://${text}`);
  if (url && ["nats:", "tls:"].includes(url.protocol) && url.hostname !== "") return url;
  const value = text.replace(/\/\/[^@/]*@/, "//…@"); // what stands in front of the host is secret
  throw new CadreError(
    "INVALID_OPTION",
    `"${value}" is no address of a NATS server. Give nats://HOST:PORT or tls://HOST:PORT.`,
    { option: "connection", value },
  );
}

/**
 * Connects, and tries again with growing pauses until `connectTimeoutMs` is over. Later breaks are
 * the client's to mend: it tries for ever.
 *
 * @throws {CadreError} UNREACHABLE, with what was tried and why the last try failed
 */
export async function connect(
  address: Address,
  settings: Settings,
  signal: AbortSignal,
): Promise<NatsClientLike> {
  const { clock, random, connectTimeoutMs } = settings;
  const client = await loadLibrary();
  const end = clock.monotonic() + connectTimeoutMs;
  for (let tried = 1; ; tried += 1) {
    const leftMs = Math.max(1, Math.ceil(end - clock.monotonic()));
    try {
      return await client.connect({
        name: "cadre",
        maxReconnectAttempts: -1,
        reconnectTimeWait: 250,
        reconnectJitter: 250,
        pingInterval: pingEveryMs,
        maxPingOut: 2,
        timeout: Math.min(leftMs, 5_000),
        ...address.options,
        ...settings.connection,
      });
    } catch (error) {
      const pauseMs = Math.min(mostPauseMs, firstPauseMs * 2 ** (tried - 1));
      const pause = Math.round(pauseMs * (0.5 + random.next() / 2));
      if (isFinal(error) || clock.monotonic() + pause >= end) {
        throw unreachable(address.shown, tried, error);
      }
      await clock.sleep(pause, signal);
    }
  }
}

/** Asking again with the same credentials changes nothing. */
function isFinal(error: unknown): boolean {
  const names = ["AuthorizationError", "UserAuthenticationExpiredError", "InvalidArgumentError"];
  return error instanceof Error && names.includes(error.name);
}

function unreachable(url: string, tried: number, cause: unknown): CadreError {
  const times = tried === 1 ? "once" : `${tried} times`;
  const message =
    `No NATS server could be reached at ${url}, tried ${times}: ${describeError(cause).message}. ` +
    "Start it with JetStream on (nats-server -js), or fix the address and credentials.";
  return new CadreError("UNREACHABLE", message, { url, tried }, cause);
}
