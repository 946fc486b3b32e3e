/** `kafka://HOST:PORT,HOST:PORT?prefix=…&group=…`: where a URL leads, and what it asks for. */
import { formatOfUrl } from "../../core/codec/wire-choice.ts";
import { CadreError } from "../../core/errors.ts";
import type { KafkaBrokerLike } from "./client.ts";
import type { KafkaOptions } from "./kafka-options.ts";

export interface Address {
  /** The brokers without credentials, for messages. */
  readonly shown: string;
  readonly brokers: readonly KafkaBrokerLike[];
  /** What the connections are opened with, as far as the URL says. */
  readonly connection: Readonly<Record<string, unknown>>;
}

const defaultPort = 9_092;
const shape = /^(kafkas?):\/\/(?:([^@/?]*)@)?([^/?@]+)\/?(?:\?(.*))?$/;

/**
 * `kafka://HOST:PORT`, `kafka://USER:PASSWORD@HOST:PORT` (SASL/PLAIN), `kafkas://…` for TLS;
 * several brokers, separated by commas.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function parseAddress(text: string): Address {
  const parts = shape.exec(text.trim());
  if (!parts) throw noAddress(text);
  const [, scheme, login, hosts] = parts;
  const brokers = hosts!.split(",").map((part) => parseBroker(part.trim(), text));
  const list = brokers.map(
    ({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`,
  );
  return {
    shown: `${scheme}://${list.join(",")}`,
    brokers,
    connection: {
      ...(scheme === "kafkas" ? { tls: {}, tlsServerName: true } : {}),
      ...(login === undefined ? {} : { sasl: saslOf(login, text) }),
    },
  };
}

function parseBroker(text: string, whole: string): KafkaBrokerLike {
  const parts = /^(?:\[([0-9a-fA-F:]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const port = Number(parts?.[3] ?? defaultPort);
  if (!parts || port < 1 || port > 65_535) throw noAddress(whole);
  return { host: parts[1] ?? parts[2]!, port };
}

function saslOf(login: string, whole: string): object {
  const at = login.indexOf(":");
  if (at < 1) throw noAddress(whole);
  return {
    mechanism: "PLAIN",
    username: decodeURIComponent(login.slice(0, at)),
    password: decodeURIComponent(login.slice(at + 1)),
  };
}

const asked = ["prefix", "group", "format", "partitions", "replication", "workers"] as const;

/** What a URL says after its `?`. @throws {CadreError} INVALID_OPTION */
export function optionsOf(text: string): Pick<KafkaOptions, (typeof asked)[number]> {
  const options: Record<string, string | number> = {};
  for (const [name, value] of new URLSearchParams(shape.exec(text.trim())?.[4] ?? "")) {
    if (!asked.some((known) => known === name)) {
      const message =
        `"${name}" is no option of a Kafka URL. Give one of ${asked.join(", ")}, ` +
        "or use the options of kafka().";
      throw new CadreError("INVALID_OPTION", message, { option: name, value });
    }
    if (name === "format") {
      Object.assign(options, formatOfUrl(value));
      continue;
    }
    const isText = name === "prefix" || name === "group";
    options[name] = isText ? value : Number(value === "" ? Number.NaN : value);
  }
  return options;
}

function noAddress(text: string): CadreError {
  const value = text.replace(/\/\/[^@/]*@/, "//…@"); // what stands in front of the host is secret
  return new CadreError(
    "INVALID_OPTION",
    `"${value}" is no address of a Kafka cluster. Give kafka://HOST:PORT, several hosts with commas.`,
    { option: "connection", value },
  );
}
