import { systemClock, type Clock } from "../../core/clock.ts";
import {
  wireChoice,
  wireOptionRules,
  type WireChoice,
  type WireOptions,
} from "../../core/codec/wire-choice.ts";
import { CadreError } from "../../core/errors.ts";
import { silentLogger, type Logger } from "../../core/logger.ts";
import { anything, checkOptions, someObject, someText, wholeNumber } from "../../core/options.ts";
import { secureRandom, type Random } from "../../core/random.ts";

export interface NatsOptions extends WireOptions {
  /**
   * First words of every subject. Transports with one prefix on one account are one bus. @default
   * "cadre"
   */
  readonly prefix?: string;
  /**
   * Name of the stream that keeps the events; two more have it as the beginning of theirs. @default
   * the prefix, dots as `_`
   */
  readonly stream?: string;
  /**
   * For how long events are kept, in milliseconds; 0 is for ever. Used when the stream is made.
   * @default 0
   */
  readonly maxAgeMs?: number;
  /**
   * For how long an id published again is recognised, in milliseconds. Used when the stream is
   * made. @default 120_000
   */
  readonly dedupeMs?: number;
  /** Copies of each stream in a cluster. Used when the streams are made. @default 1 */
  readonly replicas?: number;
  /**
   * Deliveries of a group that are out at once, over all members; those that wait for a retry count
   * too. Used when the group is made. @default 10_000
   */
  readonly maxAckPending?: number;
  /** How long the first connection is tried for, in milliseconds. @default 10_000 */
  readonly connectTimeoutMs?: number;
  /** How long an answer of the server is waited for, in milliseconds. @default 5_000 */
  readonly requestTimeoutMs?: number;
  /** First words of the JetStream API's subjects, where an account maps them. @default "$JS.API" */
  readonly apiPrefix?: string;
  /**
   * Handed to the client's `connect` beside the servers of the URL: user, password, token, TLS,
   * credentials, `inboxPrefix` … Only with a URL.
   */
  readonly connection?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

/** The options with their defaults. */
export interface Settings {
  readonly prefix: string;
  readonly stream: string;
  readonly directedStream: string;
  readonly keptStream: string;
  readonly maxAgeMs: number;
  readonly dedupeMs: number;
  readonly replicas: number;
  readonly maxAckPending: number;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly apiPrefix: string;
  readonly inboxPrefix: string;
  readonly wire: WireChoice;
  readonly connection: Readonly<Record<string, unknown>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const subjectWords = {
  expected: "words of letters, digits, - and _, separated by dots",
  accepts: (value: unknown): boolean =>
    typeof value === "string" && /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/.test(value),
};
const streamName = {
  expected: "a name of letters, digits, - and _",
  accepts: (value: unknown): boolean => typeof value === "string" && /^[\w-]{1,200}$/.test(value),
};

/** @throws {CadreError} INVALID_OPTION */
export function settle(options: NatsOptions, hasUrl: boolean): Settings {
  checkOptions("nats", options, {
    prefix: subjectWords,
    stream: streamName,
    maxAgeMs: wholeNumber(0),
    dedupeMs: wholeNumber(100),
    replicas: wholeNumber(1, 5),
    maxAckPending: wholeNumber(1),
    connectTimeoutMs: wholeNumber(1),
    requestTimeoutMs: wholeNumber(1),
    apiPrefix: someText,
    connection: someObject,
    ...wireOptionRules,
    clock: anything,
    random: anything,
    logger: anything,
  });
  const { connection = {}, maxAgeMs = 0, dedupeMs = 120_000, prefix = "cadre" } = options;
  if (!hasUrl && options.connection) {
    throw refused("connection", options.connection, "only a URL is connected to here");
  }
  if (maxAgeMs > 0 && dedupeMs > maxAgeMs) {
    throw refused("dedupeMs", dedupeMs, "an event cannot be recognised longer than it is kept");
  }
  const stream = options.stream ?? prefix.replaceAll(".", "_");
  const { inboxPrefix = "_INBOX" } = connection as { inboxPrefix?: string };
  return {
    prefix,
    stream,
    directedStream: `${stream}_directed`,
    keptStream: `${stream}_kept`,
    maxAgeMs,
    dedupeMs,
    replicas: options.replicas ?? 1,
    maxAckPending: options.maxAckPending ?? 10_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 5_000,
    apiPrefix: options.apiPrefix ?? "$JS.API",
    inboxPrefix,
    wire: wireChoice(options, "nats"),
    connection,
    clock: options.clock ?? systemClock,
    random: options.random ?? secureRandom,
    logger: options.logger ?? silentLogger,
  };
}

function refused(option: string, value: unknown, why: string): CadreError {
  const message = `Option "${option}" of nats cannot be used: ${why}.`;
  return new CadreError("INVALID_OPTION", message, { option, value });
}
