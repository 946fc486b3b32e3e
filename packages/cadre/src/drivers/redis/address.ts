import { formatOfUrl } from "../../core/codec/wire-choice.ts";
import { CadreError } from "../../core/errors.ts";
import type { RedisOptions } from "./redis-options.ts";

/** Where a URL leads. */
export interface Address {
  /** The server without credentials, for messages. */
  readonly shown: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * `redis://HOST:PORT`, `redis://USER:PASSWORD@HOST:PORT/DATABASE`, `rediss://…` for TLS.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function parseAddress(text: string): Address {
  const url = parseUrl(text);
  const tls = url.protocol === "rediss:";
  const database = url.pathname.replace(/^\//, "");
  if (database !== "" && !/^\d{1,5}$/.test(database)) throw noAddress(text);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = url.port === "" ? 6379 : Number(url.port);
  const { username, password } = url;
  return {
    shown: `${url.protocol}//${url.hostname}:${port}`,
    options: {
      host,
      port,
      ...(username === "" ? {} : { username: decodeURIComponent(username) }),
      ...(password === "" ? {} : { password: decodeURIComponent(password) }),
      ...(database === "" ? {} : { db: Number(database) }),
      ...(tls ? { tls: {} } : {}),
    },
  };
}

/** What a URL says after its `?`. @throws {CadreError} INVALID_OPTION */
export function optionsOf(text: string): Pick<RedisOptions, "prefix" | "format"> {
  const asked = parseUrl(text).searchParams;
  for (const name of asked.keys()) {
    if (name === "prefix" || name === "format") continue;
    const message =
      `"${name}" is no option of a Redis URL. Give prefix or format there, ` +
      "or use the options of redis().";
    throw new CadreError("INVALID_OPTION", message, { option: name, value: asked.get(name) });
  }
  const prefix = asked.get("prefix");
  return { ...(prefix === null ? {} : { prefix }), ...formatOfUrl(asked.get("format")) };
}

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url && ["redis:", "rediss:"].includes(url.protocol) && url.hostname !== "") return url;
  throw noAddress(text);
}

function noAddress(text: string): CadreError {
  const value = text.replace(/\/\/[^@/]*@/, "//…@"); // what stands in front of the host is secret
  return new CadreError(
    "INVALID_OPTION",
    `"${value}" is no address of a Redis server. Give redis://HOST:PORT or rediss://HOST:PORT.`,
    { option: "connection", value },
  );
}
