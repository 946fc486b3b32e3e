import { systemClock, type Clock } from "../../core/clock.ts";
import { CadreError } from "../../core/errors.ts";
import { silentLogger, type Logger } from "../../core/logger.ts";
import { anything, checkOptions, someObject, someText, wholeNumber } from "../../core/options.ts";
import { secureRandom, type Random } from "../../core/random.ts";

export interface EventbridgeOptions {
  /** Name of the event bus; made if there is none. @default "default" */
  readonly eventBus?: string;
  /**
   * Source of the events, and the beginning of the names of rules and queues. Transports with one
   * prefix on one event bus are one bus. @default "cadre"
   */
  readonly prefix?: string;
  /**
   * For how long a request to an empty queue waits for events, in milliseconds; whole seconds, and
   * never longer than a lease. Less costs more requests. @default 20_000
   */
  readonly waitMs?: number;
  /**
   * How long a group's events, and dead letters, wait for somebody, in milliseconds; then SQS drops
   * them. Used when a queue is made. @default 1_209_600_000, 14 days, the most that SQS can
   */
  readonly retentionMs?: number;
  /** How long the first connection is tried for, in milliseconds. @default 10_000 */
  readonly connectTimeoutMs?: number;
  /** How long an answer is waited for, in milliseconds. @default 5_000 */
  readonly requestTimeoutMs?: number;
  /**
   * Handed to both clients: `credentials`, `region`, `endpoint`, `profile` … Only with a URL.
   * Credentials are looked for as AWS' tools do where none are given.
   */
  readonly connection?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

/** The options with their defaults. */
export type Settings = Required<EventbridgeOptions>;

const maxRetentionMs = 14 * 24 * 3_600_000;

const prefixWord = {
  expected: "at most 20 letters, digits, - and _",
  accepts: (value: unknown): boolean =>
    typeof value === "string" && /^[A-Za-z0-9][A-Za-z0-9_-]{0,19}$/.test(value),
};

/** @throws {CadreError} INVALID_OPTION */
export function settle(options: EventbridgeOptions, hasUrl: boolean): Settings {
  checkOptions("eventbridge", options, {
    eventBus: someText,
    prefix: prefixWord,
    waitMs: wholeNumber(1_000, 20_000),
    retentionMs: wholeNumber(60_000, maxRetentionMs),
    connectTimeoutMs: wholeNumber(1),
    requestTimeoutMs: wholeNumber(1),
    connection: someObject,
    clock: anything,
    random: anything,
    logger: anything,
  });
  if (!hasUrl && options.connection) {
    const message =
      'Option "connection" of eventbridge cannot be used: the clients are made already.';
    const details = { option: "connection", value: options.connection };
    throw new CadreError("INVALID_OPTION", message, details);
  }
  return {
    eventBus: options.eventBus ?? "default",
    prefix: options.prefix ?? "cadre",
    waitMs: options.waitMs ?? 20_000,
    retentionMs: options.retentionMs ?? maxRetentionMs,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 5_000,
    connection: options.connection ?? {},
    clock: options.clock ?? systemClock,
    random: options.random ?? secureRandom,
    logger: options.logger ?? silentLogger,
  };
}
