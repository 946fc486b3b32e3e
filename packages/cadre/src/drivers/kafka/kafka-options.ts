import { systemClock, type Clock } from "../../core/clock.ts";
import { wireChoice, wireOptionRules, type WireOptions } from "../../core/codec/wire-choice.ts";
import { CadreError } from "../../core/errors.ts";
import { silentLogger, type Logger } from "../../core/logger.ts";
import {
  anything,
  checkOptions,
  oneOf,
  someObject,
  wholeNumber,
  type OptionRule,
} from "../../core/options.ts";
import { secureRandom, type Random } from "../../core/random.ts";
import { kafkaFormat, type KafkaFormat } from "./wire.ts";

export interface KafkaOptions extends WireOptions {
  /**
   * Beginning of every topic's name. Transports with one prefix on one cluster are one bus.
   * @default "cadre"
   */
  readonly prefix?: string;
  /** Beginning of every consumer group's name: `GROUP.subscription`. @default the prefix */
  readonly group?: string;
  /**
   * One topic for each first word of a type, or one for all. The same for all transports of a bus.
   * @default "domain"
   */
  readonly topics?: "domain" | "single";
  /**
   * Topics of other names, by the first word of the types that travel on them. Such a topic is made
   * like the others where it is missing, and left as it is where it exists.
   */
  readonly topicNames?: Readonly<Record<string, string>>;
  /** Partitions of a topic, when it is made here. @default 16 */
  readonly partitions?: number;
  /** Copies of a topic, when it is made here; -1 is the cluster's own default. @default -1 */
  readonly replication?: number;
  /**
   * For how long events are kept, in milliseconds; 0 is for ever. Set when a topic is made.
   * @default 0
   */
  readonly maxAgeMs?: number;
  /** How events are written; whatever comes is read. @default "cloudevents-binary" */
  readonly format?: NonNullable<WireOptions["format"]>;
  /** Deliveries that one member of a group may have out at once. @default 1_000 */
  readonly workers?: number;
  /**
   * After how long without a pull a member leaves what waits here to members that pull, in
   * milliseconds. @default 500
   */
  readonly idleMs?: number;
  /**
   * How often a member tells the cluster that it is there, in milliseconds; also how soon it hears
   * of members that come and go. @default 500
   */
  readonly heartbeatMs?: number;
  /** After how long without a sign a member is taken for dead, in milliseconds. @default 10_000 */
  readonly sessionTimeoutMs?: number;
  /** How soon a topic that others have made is noticed, in milliseconds. @default 1_000 */
  readonly refreshMs?: number;
  /** How long the cluster is tried for at the first use, in milliseconds. @default 10_000 */
  readonly connectTimeoutMs?: number;
  /** How long an answer of the cluster is waited for, in milliseconds. @default 10_000 */
  readonly requestTimeoutMs?: number;
  /**
   * Handed to the client's connections: `tls`, `sasl`, `tlsServerName`, `connectTimeout` … Only
   * with a URL.
   */
  readonly connection?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

/** The options with their defaults. */
export type Settings = Required<Omit<KafkaOptions, keyof WireOptions>> & {
  readonly format: KafkaFormat;
};

const topicWords: OptionRule = {
  expected: "at most 100 letters, digits, dots, - and _",
  accepts: (value) => typeof value === "string" && /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(value),
};

const groupWords: OptionRule = {
  expected: "at most 100 characters without control characters",
  accepts: (value) =>
    typeof value === "string" && /^[^\p{Cc}]{1,100}$/u.test(value) && value.trim() === value,
};

const names: OptionRule = {
  expected: "an object of topic names",
  accepts: (value) =>
    typeof value === "object" &&
    value !== null &&
    Object.values(value).every(
      (name) => typeof name === "string" && /^[A-Za-z0-9._-]{1,249}$/.test(name),
    ),
};

/** @throws {CadreError} INVALID_OPTION */
export function settle(options: KafkaOptions, hasUrl: boolean): Settings {
  checkOptions("kafka", options, {
    prefix: topicWords,
    group: groupWords,
    topics: oneOf("domain", "single"),
    topicNames: names,
    partitions: wholeNumber(1, 10_000),
    replication: wholeNumber(-1, 32_767),
    maxAgeMs: wholeNumber(0),
    ...wireOptionRules,
    workers: wholeNumber(1, 100_000),
    idleMs: wholeNumber(10),
    heartbeatMs: wholeNumber(10),
    sessionTimeoutMs: wholeNumber(100),
    refreshMs: wholeNumber(10),
    connectTimeoutMs: wholeNumber(1),
    requestTimeoutMs: wholeNumber(1),
    connection: someObject,
    clock: anything,
    random: anything,
    logger: anything,
  });
  if (!hasUrl && options.connection) {
    throw invalid("connection", options.connection, "only a URL is connected to here");
  }
  if (options.replication === 0)
    throw invalid("replication", 0, "there is no topic without a copy");
  const { format = "cloudevents-binary", formats = [], ...others } = withoutUndefined(options);
  const wire = wireChoice({ format, formats }, "kafka");
  const settings = { ...defaults(), ...others, format: kafkaFormat(wire) };
  if (settings.sessionTimeoutMs < settings.heartbeatMs * 2) {
    const why = "it has to be at least twice heartbeatMs";
    throw invalid("sessionTimeoutMs", settings.sessionTimeoutMs, why);
  }
  // Older settings write the dot at the end that stands between prefix and word here.
  const prefix = settings.prefix.replace(/\.$/, "");
  return { ...settings, prefix, group: options.group ?? prefix };
}

function defaults(): Omit<Settings, "format"> {
  return {
    prefix: "cadre",
    group: "cadre",
    topics: "domain",
    topicNames: {},
    partitions: 16,
    replication: -1,
    maxAgeMs: 0,
    workers: 1_000,
    idleMs: 500,
    heartbeatMs: 500,
    sessionTimeoutMs: 10_000,
    refreshMs: 1_000,
    connectTimeoutMs: 10_000,
    requestTimeoutMs: 10_000,
    connection: {},
    clock: systemClock,
    random: secureRandom,
    logger: silentLogger,
  };
}

function withoutUndefined(options: KafkaOptions): KafkaOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function invalid(option: string, value: unknown, why: string): CadreError {
  const message = `Option "${option}" of kafka cannot be used: ${why}.`;
  return new CadreError("INVALID_OPTION", message, { option, value });
}
