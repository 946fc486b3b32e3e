import { systemClock, type Clock } from "../../core/clock.ts";
import {
  wireChoice,
  wireOptionRules,
  type WireChoice,
  type WireOptions,
} from "../../core/codec/wire-choice.ts";
import { CadreError } from "../../core/errors.ts";
import { silentLogger, type Logger } from "../../core/logger.ts";
import { anything, checkOptions, oneOf, someObject, wholeNumber } from "../../core/options.ts";
import { secureRandom, type Random } from "../../core/random.ts";

export type Durability = "no" | "process" | "disk";

export interface RedisOptions extends WireOptions {
  /**
   * First word of every key, as the hash tag `{prefix}`. Transports with one prefix on one server
   * are one bus; on a cluster a bus lies in one slot. @default "cadre"
   */
  readonly prefix?: string;
  /**
   * One stream for each first word of a type, or one for all. The same for all transports of a bus.
   * @default "domain"
   */
  readonly streams?: "domain" | "single";
  /**
   * How safe a resolved publish has to be. A server that is set to less is refused at the first
   * use; one that does not tell is believed. @default whatever the server is set to
   */
  readonly durable?: Durability;
  /**
   * Events of a stream beyond which the oldest are forgotten; what a group has still to be handed
   * or has open stays. 0 is no bound. @default 0
   */
  readonly maxEvents?: number;
  /** For how long events are kept at least, in milliseconds; 0 is for ever. @default 0 */
  readonly maxAgeMs?: number;
  /**
   * For how long an id published again is recognised, in milliseconds; the server keeps a small key
   * for each event as long. 0 is never. @default 120_000
   */
  readonly dedupeMs?: number;
  /** Largest event in bytes of JSON. @default 1_048_576 */
  readonly maxBytes?: number;
  /** How often is looked for what nobody told of, in milliseconds. @default 1_000 */
  readonly pollMs?: number;
  /** How long the first connection is tried for, in milliseconds. @default 10_000 */
  readonly connectTimeoutMs?: number;
  /** How long an answer of the server is waited for, in milliseconds. @default 5_000 */
  readonly requestTimeoutMs?: number;
  /**
   * Handed to the client beside the address of the URL: username, password, tls, sentinels … Only
   * with a URL.
   */
  readonly connection?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

/** The options with their defaults. */
export interface Settings {
  readonly prefix: string;
  readonly streams: "domain" | "single";
  readonly durable: Durability | undefined;
  readonly maxEvents: number;
  readonly maxAgeMs: number;
  readonly dedupeMs: number;
  readonly maxBytes: number;
  readonly pollMs: number;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly wire: WireChoice;
  readonly connection: Readonly<Record<string, unknown>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const keyWord = {
  expected: "letters, digits, -, _, . and :",
  accepts: (value: unknown): boolean => typeof value === "string" && /^[\w.:-]{1,100}$/.test(value),
};

/** @throws {CadreError} INVALID_OPTION */
export function settle(options: RedisOptions, hasUrl: boolean): Settings {
  checkOptions("redis", options, {
    prefix: keyWord,
    streams: oneOf("domain", "single"),
    durable: oneOf("no", "process", "disk"),
    maxEvents: wholeNumber(0),
    maxAgeMs: wholeNumber(0),
    dedupeMs: wholeNumber(0),
    maxBytes: wholeNumber(1, 268_435_456), // the server takes texts up to half a gigabyte
    pollMs: wholeNumber(1),
    connectTimeoutMs: wholeNumber(1),
    requestTimeoutMs: wholeNumber(1),
    connection: someObject,
    ...wireOptionRules,
    clock: anything,
    random: anything,
    logger: anything,
  });
  if (!hasUrl && options.connection) {
    const message = 'Option "connection" of redis cannot be used: only a URL is connected to here.';
    const details = { option: "connection", value: options.connection };
    throw new CadreError("INVALID_OPTION", message, details);
  }
  return {
    prefix: options.prefix ?? "cadre",
    streams: options.streams ?? "domain",
    durable: options.durable,
    maxEvents: options.maxEvents ?? 0,
    maxAgeMs: options.maxAgeMs ?? 0,
    dedupeMs: options.dedupeMs ?? 120_000,
    maxBytes: options.maxBytes ?? 1_048_576,
    pollMs: options.pollMs ?? 1_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 5_000,
    wire: wireChoice(options),
    connection: options.connection ?? {},
    clock: options.clock ?? systemClock,
    random: options.random ?? secureRandom,
    logger: options.logger ?? silentLogger,
  };
}
