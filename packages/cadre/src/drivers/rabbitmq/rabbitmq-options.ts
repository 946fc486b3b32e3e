import { systemClock, type Clock } from "../../core/clock.ts";
import {
  wireChoice,
  wireOptionRules,
  type WireChoice,
  type WireOptions,
} from "../../core/codec/wire-choice.ts";
import { CadreError } from "../../core/errors.ts";
import { silentLogger, type Logger } from "../../core/logger.ts";
import { anything, checkOptions, someObject, wholeNumber } from "../../core/options.ts";
import { secureRandom, type Random } from "../../core/random.ts";

export interface RabbitmqOptions extends WireOptions {
  /**
   * Name of the exchange of events, and the beginning of every other name. Transports with one
   * prefix on one virtual host are one bus. @default "cadre"
   */
  readonly prefix?: string;
  /**
   * For how long events are kept in the log, in milliseconds; 0 is for ever. Used when the log is
   * made. @default 0
   */
  readonly maxAgeMs?: number;
  /**
   * Bytes of the log after which its oldest events go; 0 is no bound. Used when the log is made.
   * @default 0
   */
  readonly maxLogBytes?: number;
  /**
   * Bytes of the stream of dead letters after which its oldest go, handled or not; 0 is no bound,
   * and then what was written there never leaves the disk. Used when the stream is made. @default 0
   */
  readonly maxDeadLetterBytes?: number;
  /** How long the first connection is tried for, in milliseconds. @default 10_000 */
  readonly connectTimeoutMs?: number;
  /** How long an answer of the server is waited for, in milliseconds. @default 5_000 */
  readonly requestTimeoutMs?: number;
  /**
   * How often both sides say that they are there, in milliseconds: a connection that is open and
   * dead is noticed after two of them. Whole seconds. @default 10_000
   */
  readonly heartbeatMs?: number;
  /**
   * Handed to the client's `connect` as its socket options: TLS (`ca`, `cert`, `key`),
   * `credentials`, `clientProperties` … Only with a URL.
   */
  readonly connection?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

/** The options with their defaults. */
export type Settings = Required<Omit<RabbitmqOptions, keyof WireOptions>> & {
  readonly wire: WireChoice;
};

const nameWords = {
  expected: "at most 60 letters, digits, dots, - and _",
  accepts: (value: unknown): boolean =>
    typeof value === "string" && /^[A-Za-z0-9_][A-Za-z0-9._-]{0,59}$/.test(value),
};

/** @throws {CadreError} INVALID_OPTION */
export function settle(options: RabbitmqOptions, hasUrl: boolean): Settings {
  checkOptions("rabbitmq", options, {
    prefix: nameWords,
    maxAgeMs: wholeNumber(0),
    maxLogBytes: wholeNumber(0),
    maxDeadLetterBytes: wholeNumber(0),
    connectTimeoutMs: wholeNumber(1),
    requestTimeoutMs: wholeNumber(1),
    heartbeatMs: wholeNumber(1_000, 3_600_000),
    connection: someObject,
    ...wireOptionRules,
    clock: anything,
    random: anything,
    logger: anything,
  });
  if (!hasUrl && options.connection) {
    const message =
      'Option "connection" of rabbitmq cannot be used: only a URL is connected to here.';
    const details = { option: "connection", value: options.connection };
    throw new CadreError("INVALID_OPTION", message, details);
  }
  return {
    prefix: options.prefix ?? "cadre",
    maxAgeMs: options.maxAgeMs ?? 0,
    maxLogBytes: options.maxLogBytes ?? 0,
    maxDeadLetterBytes: options.maxDeadLetterBytes ?? 0,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 5_000,
    heartbeatMs: options.heartbeatMs ?? 10_000,
    wire: wireChoice(options, "amqp"),
    connection: options.connection ?? {},
    clock: options.clock ?? systemClock,
    random: options.random ?? secureRandom,
    logger: options.logger ?? silentLogger,
  };
}
