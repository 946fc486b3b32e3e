import { systemClock, type Clock } from "../../core/clock.ts";
import { CadreError } from "../../core/errors.ts";
import { silentLogger, type Logger } from "../../core/logger.ts";
import { checkOptions, oneOf, someObject, wholeNumber } from "../../core/options.ts";
import { secureRandom, type Random } from "../../core/random.ts";

export interface PostgresOptions {
  /**
   * The schema of the database in which the log's tables are: lower case letters, digits and `_`.
   * It is made where there is none. In a URL: `?schema=team`. @default "cadre"
   */
  readonly schema?: string;
  /**
   * `disk`: what is acknowledged survives a power failure of the server. `process`: it survives the
   * end of this process; a crash of the server may take the last moments with it. @default "disk"
   */
  readonly durability?: "disk" | "process";
  /**
   * Largest payload of one event with its further metadata, in bytes of JSON. @default 4_194_304
   */
  readonly maxEventBytes?: number;
  /** Connections that a URL opens at most. @default 10 */
  readonly maxConnections?: number;
  /**
   * How long a call tries to reach the server, or to reach it again, before it fails with
   * UNREACHABLE, in milliseconds. @default 15_000
   */
  readonly connectTimeoutMs?: number;
  /**
   * How often somebody who waits looks for what other connections wrote, in milliseconds. Their
   * notifications come sooner; looking finds what a lost notification would have told. @default
   * 1_000
   */
  readonly pollMs?: number;
  /** Further options for the pool of `pg` that a URL opens: `ssl`, `application_name` … */
  readonly connection?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

export type Settings = Required<PostgresOptions>;

export const presetSchema = "cadre";

// a name that needs no quotes is the same in every tool
const schemaName = {
  expected: "a name of at most 48 lower case letters, digits and _, beginning with a letter",
  accepts: (value: unknown): boolean =>
    typeof value === "string" && /^[a-z][a-z0-9_]{0,47}$/.test(value) && !value.startsWith("pg_"),
};

/**
 * @param where whose options they are
 * @param urlSchema the schema that the URL names
 * @throws {CadreError} INVALID_OPTION
 */
export function checkSettings(
  where: string,
  options: PostgresOptions,
  urlSchema?: string,
): Settings {
  const given = urlSchema === undefined ? options : { ...options, schema: urlSchema };
  checkOptions<PostgresOptions>(where, given, {
    schema: schemaName,
    durability: oneOf("disk", "process"),
    maxEventBytes: wholeNumber(1_024, 128 * 1024 * 1024),
    maxConnections: wholeNumber(3, 1_000),
    connectTimeoutMs: wholeNumber(1),
    pollMs: wholeNumber(1, 60_000),
    connection: someObject,
    clock: someObject,
    random: someObject,
    logger: someObject,
  });
  if (urlSchema !== undefined && options.schema !== undefined && options.schema !== urlSchema) {
    throw new CadreError(
      "INVALID_OPTION",
      `The URL names the schema "${urlSchema}", the option "${options.schema}". Give one of them.`,
      { option: "schema", value: options.schema },
    );
  }
  return {
    schema: given.schema ?? presetSchema,
    durability: options.durability ?? "disk",
    maxEventBytes: options.maxEventBytes ?? 4_194_304,
    maxConnections: options.maxConnections ?? 10,
    connectTimeoutMs: options.connectTimeoutMs ?? 15_000,
    pollMs: options.pollMs ?? 1_000,
    connection: options.connection ?? {},
    clock: options.clock ?? systemClock,
    random: options.random ?? secureRandom,
    logger: options.logger ?? silentLogger,
  };
}
