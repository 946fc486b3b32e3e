/** The open file: one connection, its writer, and what the store and the transport share. */
import { systemClock, type Clock } from "../../core/clock.ts";
import type { Commit } from "../../core/commit.ts";
import { CadreError } from "../../core/errors.ts";
import { silentLogger, type Logger } from "../../core/logger.ts";
import type { Random } from "../../core/random.ts";
import { checkOptions, oneOf, someObject, wholeNumber } from "../../core/options.ts";
import { checkCommit } from "../../store/check-commit.ts";
import { Checkpointer } from "./checkpointer.ts";
import { Connection } from "./connection.ts";
import type { EncodedEvent } from "./event-rows.ts";
import type { LogTransaction } from "./log-transaction.ts";
import { RecentEvents } from "./recent-events.ts";
import { addMember, isGone, listMembers, removeMember } from "./members.ts";
import { prepareFile } from "./schema.ts";
import { prepareCommit, type PreparedCommit } from "./store-request.ts";
import { Wake } from "./wake.ts";
import { closedError, Writer } from "./writer.ts";

export interface SqliteOptions {
  /**
   * `disk`: what is acknowledged survives a power failure. `process`: it survives the end of the
   * process, and a commit doesn't wait for the disk. All processes on one file must agree. @default
   * "disk"
   */
  readonly durability?: "disk" | "process";
  /**
   * Largest payload of one event with its further metadata, in bytes of JSON. All processes on one
   * file must agree. @default 4_194_304
   */
  readonly maxEventBytes?: number;
  /**
   * How long a write waits for other processes before it fails with STORE_UNAVAILABLE, in
   * milliseconds. @default 10_000
   */
  readonly busyTimeoutMs?: number;
  /**
   * How often a subscription that waits looks for what other processes wrote, in milliseconds.
   * @default 20
   */
  readonly pollMs?: number;
  readonly clock?: Clock;
  /** Drivers share one context; this one draws nothing. */
  readonly random?: Random;
  readonly logger?: Logger;
}

export type Settings = Required<Omit<SqliteOptions, "random">>;

/** @throws {CadreError} INVALID_OPTION */
export function checkSettings(where: string, options: SqliteOptions): Settings {
  checkOptions<SqliteOptions>(where, options, {
    durability: oneOf("disk", "process"),
    maxEventBytes: wholeNumber(1_024, 256 * 1024 * 1024),
    busyTimeoutMs: wholeNumber(0),
    pollMs: wholeNumber(1, 60_000),
    clock: someObject,
    random: someObject,
    logger: someObject,
  });
  return {
    durability: options.durability ?? "disk",
    maxEventBytes: options.maxEventBytes ?? 4_194_304,
    busyTimeoutMs: options.busyTimeoutMs ?? 10_000,
    pollMs: options.pollMs ?? 20,
    clock: options.clock ?? systemClock,
    logger: options.logger ?? silentLogger,
  };
}

/** The path in `sqlite:./file.db`, or in a plain path. */
export function filePath(location: string): string {
  const path = typeof location === "string" ? location.replace(/^sqlite:(\/\/(?=\/))?/, "") : "";
  if (path !== "" && path !== ":memory:" && !path.includes("\0")) return path;
  throw new CadreError(
    "INVALID_OPTION",
    `A log needs a file: give its path, or sqlite:./file.db, not ${JSON.stringify(location)}.`,
    { option: "path", value: location },
  );
}

const maxTruncateTries = 100; // SQLite itself waits 50 ms in each

/** Settings that all who have the file open must share. */
const shared = ["durability", "maxEventBytes"] as const;

export class LogFile {
  readonly path: string;
  readonly connection: Connection;
  readonly writer: Writer;
  readonly wake: Wake;
  readonly recent: RecentEvents;
  readonly settings: Settings;
  /** This connection's number among those of the file. */
  readonly member: number;
  readonly #timeOffset: number;
  readonly #checkpointer: Checkpointer;
  /** What must happen before the connection ends, the newest first. */
  readonly #closers: (() => Promise<void>)[] = [];
  #closing: Promise<void> | undefined;

  private constructor(connection: Connection, settings: Settings, member: number) {
    this.path = connection.path;
    this.connection = connection;
    this.settings = settings;
    this.member = member;
    this.#timeOffset = settings.clock.now() - settings.clock.monotonic();
    this.wake = new Wake(connection, settings.clock, settings.pollMs);
    this.recent = new RecentEvents(connection);
    this.#checkpointer = new Checkpointer(connection, settings.logger);
    this.writer = new Writer(connection, {
      clock: settings.clock,
      busyTimeoutMs: settings.busyTimeoutMs,
      toDisk: settings.durability === "disk",
      onCommit: (transaction, dataVersion) => this.#onCommit(transaction, dataVersion),
    });
  }

  static async open(path: string, settings: Settings): Promise<LogFile> {
    const connection = new Connection(path);
    try {
      await prepareFile(connection, settings.clock, settings.busyTimeoutMs);
      const member = await connection.patiently(settings.clock, settings.busyTimeoutMs, () =>
        connection.transaction(false, () => join(connection, settings)),
      );
      return new LogFile(connection, settings, member);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /**
   * Unix milliseconds for what falls due: wall time when the file was opened, plus what has passed
   * since. A wall clock that is set while the process runs neither fires nor delays anything.
   */
  get time(): number {
    return this.#timeOffset + this.settings.clock.monotonic();
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  assertOpen(): void {
    if (this.closed) throw closedError(this.path);
  }

  beforeClose(action: () => Promise<void>): void {
    this.#closers.push(action);
  }

  /** @throws {CadreError} what `checkCommit` throws, and TOO_LARGE */
  prepare(commit: Commit): PreparedCommit {
    const prepared = prepareCommit(checkCommit(commit));
    for (const event of prepared.events) this.checkSize(event);
    return prepared;
  }

  checkSize({ event, bytes }: EncodedEvent): void {
    const maxBytes = this.settings.maxEventBytes;
    if (bytes <= maxBytes) return;
    throw new CadreError(
      "TOO_LARGE",
      `The event ${event.id} (${event.type}) takes ${bytes} bytes of at most ${maxBytes}. ` +
        "Keep large content elsewhere and publish where it is.",
      { bytes, maxBytes },
    );
  }

  /** Writes the whole file anew, without what is free in it. */
  async compact(): Promise<void> {
    const { clock, busyTimeoutMs } = this.settings;
    await this.connection.patiently(clock, busyTimeoutMs, () => this.connection.exec("VACUUM"));
    // The new file is in the write-ahead log until nobody reads the old one any more.
    const checkpoint = this.connection.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    for (let tries = 0; tries < maxTruncateTries; tries += 1) {
      if (checkpoint.get()?.[0] === 0) return;
      await clock.yield();
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const action of this.#closers.toReversed()) {
      await action().catch((error: unknown) => {
        // What it holds is free when its process has ended, or its leases have.
        this.settings.logger.warn("The log was closed without giving back what it holds.", {
          error,
        });
      });
    }
    await this.writer.close();
    this.wake.close();
    await this.#checkpointer.close();
    try {
      const { clock, busyTimeoutMs } = this.settings;
      await this.connection.patiently(clock, busyTimeoutMs, () =>
        this.connection.transaction(false, () => removeMember(this.connection, this.member)),
      );
    } catch (error) {
      // The next who opens the file finds that this process is gone.
      this.settings.logger.warn("The log's member could not be removed.", { error });
    }
    this.connection.close();
  }

  #onCommit(transaction: LogTransaction, dataVersion: number): void {
    this.recent.add(transaction, dataVersion);
    if (transaction.isNews) this.wake.announce();
    this.#checkpointer.onCommit(transaction.rows);
  }
}

/**
 * Enters this connection among the members, or refuses it when those who are there have other
 * settings.
 */
function join(connection: Connection, settings: Settings): number {
  const others = listMembers(connection).filter((member) => {
    if (!isGone(member)) return true;
    removeMember(connection, member.no);
    return false;
  });
  for (const setting of shared) {
    const actual = String(settings[setting]);
    const row = connection.sql("SELECT value FROM meta WHERE name = ?").get(setting);
    const expected = row === undefined ? actual : String(row[0]);
    if (expected === actual && row !== undefined) continue;
    if (others.length > 0 && expected !== actual) {
      throw new CadreError(
        "STORE_MISMATCH",
        `"${connection.path}" is open in process ${others[0]!.pid} with ` +
          `${setting} = ${expected}; here it is ${actual}. ` +
          "Give both the same, or close the other first.",
        { path: connection.path, setting, expected, actual },
      );
    }
    connection.sql("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)").run(setting, actual);
  }
  return addMember(connection);
}
