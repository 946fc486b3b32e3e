/**
 * The archive: keeps everything that passes a broker in an event store.
 *
 *   broker ─▶ durable group ─▶ pull ─▶ one commit ─▶ ack ─▶ pull …
 *                                        └─ refused for now ─▶ owned on, tried again
 *
 * A delivery is acked when the store has it on disk, and not before: whoever is killed in between
 * leaves it to the next, and the store knows it by its id. So nothing is lost, and nothing is there
 * twice. Several archivers of one group may run; they share the work.
 */
import type { Intake, Lease, Transport } from "../bus/transport.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError, describeError } from "../core/errors.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import {
  anything,
  checkOptions,
  someFunction,
  someObject,
  someText,
  wholeNumber,
} from "../core/options.ts";
import { compilePattern } from "../core/pattern.ts";
import { secureRandom, type Random } from "../core/random.ts";
import type { EventStore, LogPosition } from "../store/event-store.ts";
import { ArchiveWriter, type Written } from "./archive-writer.ts";
import { isRefusedForEver } from "./refusal.ts";

const defaults = {
  group: "archive",
  patterns: "#",
  batch: 200, // events of one commit
  leaseMs: 30_000, // then a delivery of an archiver that was killed goes to another
  minRetryMs: 100,
  maxRetryMs: 10_000,
};

export interface ArchiveOptions {
  /** The broker. It stays open when the archive closes. */
  readonly transport: Transport;
  /** Where the events are kept. It stays open when the archive closes. */
  readonly store: EventStore;
  /** What is kept: topic patterns. @default "#", everything */
  readonly patterns?: string | readonly string[];
  /** Name of the durable group on the broker, and of the stream in the store. @default "archive" */
  readonly group?: string;
  /**
   * Where a new group begins; `earliest` takes what the broker still keeps, and carriers without a
   * history refuse it. @default "new"
   */
  readonly from?: "new" | "earliest";
  /** Most events of one commit. @default 200 */
  readonly batch?: number;
  /** How long a delivery is owned without a sign, in milliseconds. @default 30_000 */
  readonly leaseMs?: number;
  /** Pause after the store's first refusal in milliseconds; doubles each time. @default 100 */
  readonly minRetryMs?: number;
  /** @default 10_000 */
  readonly maxRetryMs?: number;
  /** Told when the store or the broker refuses; the archive goes on by itself. */
  readonly onError?: (error: unknown) => void;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

export interface ArchiveStatus {
  readonly phase: "active" | "stuck" | "closed";
  /** Events that this archiver has written since it started. */
  readonly archived: number;
  /** Deliveries of events that were in the store already. */
  readonly duplicates: number;
  /** Deliveries that hold no event, or another one of an id that was there: kept as records. */
  readonly records: number;
  /** Deliveries that the store can never take: dead letters of the group. */
  readonly refused: number;
  /** The head of the store's log. */
  readonly position: LogPosition;
  /** Events on the broker that are not archived yet, where it knows. */
  readonly behind?: number;
  /** Why the store or the broker refuses just now. */
  readonly error?: unknown;
}

export interface Archive {
  readonly group: string;
  status(): Promise<ArchiveStatus>;
  /** Never throws. */
  health(): Promise<{ readonly ok: boolean; readonly detail?: string }>;
  /** Ends after the batch in hand. Closing twice is allowed. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

type Settings = Required<Omit<ArchiveOptions, "patterns">> & {
  readonly patterns: readonly string[];
};

/**
 * Starts to archive; when it resolves, everything that is published from now on will be kept.
 *
 * @throws {CadreError} INVALID_OPTION, also where transport and store are one log: it keeps all
 * that passes already
 * @throws {CadreError} UNSUPPORTED, when a new group is to begin in a past that the broker does not
 * keep
 * @throws {CadreError} GROUP_MISMATCH, when the group archives other patterns
 */
export async function startArchive(options: ArchiveOptions): Promise<Archive> {
  const settings = settle(options);
  const { transport, group, patterns, from, leaseMs, batch } = settings;
  const intake = await transport.open({
    subscription: group,
    mode: "group",
    patterns,
    definition: JSON.stringify({ archive: patterns.toSorted() }),
    from,
    leaseMs,
    maxQueued: Math.max(1_000, batch), // where the backlog is in memory
    overflow: "wait",
  });
  return new RunningArchive(settings, intake);
}

/** @throws {CadreError} INVALID_OPTION */
function settle(options: ArchiveOptions): Settings {
  checkOptions("startArchive", options, {
    transport: someObject,
    store: someObject,
    patterns: anything,
    group: someText,
    from: {
      expected: '"new" or "earliest"',
      accepts: (value) => value === "new" || value === "earliest",
    },
    batch: wholeNumber(1, 1_000),
    leaseMs: wholeNumber(1),
    minRetryMs: wholeNumber(1),
    maxRetryMs: wholeNumber(1),
    onError: someFunction,
    clock: anything,
    random: anything,
    logger: anything,
  });
  refuseOneLog(options);
  const patterns = [options.patterns ?? defaults.patterns].flat();
  for (const pattern of patterns) compilePattern(pattern); // throws for what is none
  return {
    transport: options.transport,
    store: options.store,
    patterns,
    group: options.group ?? defaults.group,
    from: options.from ?? "new",
    batch: options.batch ?? defaults.batch,
    leaseMs: options.leaseMs ?? defaults.leaseMs,
    minRetryMs: options.minRetryMs ?? defaults.minRetryMs,
    maxRetryMs: options.maxRetryMs ?? defaults.maxRetryMs,
    onError: options.onError ?? ((): void => {}),
    clock: options.clock ?? systemClock,
    random: options.random ?? secureRandom,
    logger: options.logger ?? silentLogger,
  };
}

function refuseOneLog({ transport, store }: ArchiveOptions): void {
  const { unitOfWork } = transport;
  if (!unitOfWork) return;
  const isTold = unitOfWork.log !== undefined && store.log !== undefined;
  if (isTold && unitOfWork.log !== store.log) return;
  const message =
    `Transport "${transport.name}" and the store are one log, which keeps all that passes. ` +
    "Read its history; there is nothing to archive.";
  throw new CadreError("INVALID_OPTION", message, { option: "store", value: store.name });
}

class RunningArchive implements Archive {
  readonly group: string;
  readonly #settings: Settings;
  readonly #intake: Intake;
  readonly #writer: ArchiveWriter;
  readonly #closer = new AbortController();
  readonly #settling = new Set<Promise<void>>();
  readonly #running: Promise<void>;
  #counts: Written & { readonly refused: number } = {
    archived: 0,
    duplicates: 0,
    records: 0,
    refused: 0,
  };
  #error: unknown;
  #closing: Promise<void> | undefined;

  constructor(settings: Settings, intake: Intake) {
    this.group = settings.group;
    this.#settings = settings;
    this.#intake = intake;
    this.#writer = new ArchiveWriter(settings.store, settings.group, settings.random);
    this.#running = this.#run();
  }

  async status(): Promise<ArchiveStatus> {
    const { store } = this.#settings;
    const behind = this.#closing ? undefined : await this.#behind();
    const stuck = this.#error === undefined ? "active" : "stuck";
    return {
      phase: this.#closing ? "closed" : stuck,
      ...this.#counts,
      position: await store.head(),
      ...(behind === undefined ? {} : { behind }),
      ...(this.#error === undefined ? {} : { error: this.#error }),
    };
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail?: string }> {
    if (this.#closing) return { ok: false, detail: "the archive is closed" };
    if (this.#error === undefined) return { ok: true };
    return { ok: false, detail: describeError(this.#error).message };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.resolve(); // `#closing` is set before anybody is told
    this.#closer.abort();
    await this.#running;
    await Promise.all(this.#settling);
    await this.#intake.close();
  }

  async #behind(): Promise<number | undefined> {
    const groups = await this.#settings.transport.groups?.();
    const group = groups?.find(({ name }) => name === this.group);
    if (!group || (group.behind === undefined && group.open === undefined)) return undefined;
    return (group.behind ?? 0) + (group.open ?? 0);
  }

  async #run(): Promise<void> {
    const { signal } = this.#closer;
    for (let failures = 0; !signal.aborted;) {
      try {
        const leases = await this.#intake.pull(this.#settings.batch, signal);
        failures = 0;
        if (leases.length > 0) await this.#keep(leases);
        else if (!signal.aborted) return this.#onGone();
      } catch (error) {
        failures += 1;
        await this.#pause(error, failures);
      }
    }
  }

  /** The transport was closed, or the group deleted while this archiver was its member. */
  #onGone(): void {
    const message =
      `The group "${this.group}" of the archive hands out nothing any more: its transport is ` +
      "closed, or the group was deleted. Start the archive again.";
    this.#error = new CadreError("CLOSED", message, { what: "archive" });
    this.#settings.logger.warn(message);
  }

  /** Until the store has it, or all of it is others'. */
  async #keep(leases: readonly Lease[]): Promise<void> {
    const owned = new Set(leases);
    const stop = this.#ownOn(owned);
    try {
      for (let failures = 0; owned.size > 0;) {
        try {
          const batch = [...owned];
          await this.#write(batch);
          this.#error = undefined;
          this.#settle(batch);
          return;
        } catch (error) {
          if (this.#closer.signal.aborted) {
            this.#giveBack(owned);
            return;
          }
          failures += 1;
          await this.#pause(error, failures);
        }
      }
    } finally {
      stop();
    }
  }

  async #write(batch: readonly Lease[]): Promise<void> {
    try {
      this.#count(await this.#writer.write(batch.map(({ recorded }) => recorded)));
    } catch (error) {
      if (!isRefusedForEver(error)) throw error;
      if (batch.length === 1) await this.#refuse(batch[0]!, error);
      else for (const lease of batch) await this.#write([lease]);
    }
  }

  /** What the store can never take must not hold up the rest, nor be lost. */
  async #refuse(lease: Lease, cause: unknown): Promise<void> {
    const { transport, clock, logger } = this.#settings;
    const { recorded, attempt } = lease;
    const { event, undecodable, position } = recorded;
    if (!transport.deadLetters) throw cause;
    const now = clock.now();
    const { name, message } = describeError(cause);
    await transport.deadLetters.put({
      id: `${this.group}/${event?.id ?? position}`,
      group: this.group,
      ...(event && { event }),
      ...(undecodable && { bytes: Buffer.from(undecodable.bytes).toString("base64") }),
      reason: "rejected",
      error: { name, message },
      attempts: attempt,
      position,
      firstFailedAt: now,
      lastFailedAt: now,
    });
    this.#counts = { ...this.#counts, refused: this.#counts.refused + 1 };
    logger.error("The archive's store refuses an event; it is a dead letter.", { message });
  }

  #count({ archived, duplicates, records }: Written): void {
    this.#counts = {
      archived: this.#counts.archived + archived,
      duplicates: this.#counts.duplicates + duplicates,
      records: this.#counts.records + records,
      refused: this.#counts.refused,
    };
  }

  /** Beside the next pull. A delivery whose ack is lost comes again, and is known. */
  #settle(leases: readonly Lease[]): void {
    const settling: Promise<void> = Promise.allSettled(
      leases.map((lease) => lease.settle({ kind: "ack" })),
    ).then((results) => {
      this.#settling.delete(settling);
      const failed = results.find((result) => result.status === "rejected");
      if (!failed) return;
      const fields = { error: describeError(failed.reason).message };
      this.#settings.logger.warn("An archived event could not be acked.", fields);
    });
    this.#settling.add(settling);
  }

  #giveBack(leases: Iterable<Lease>): void {
    const releasing: Promise<void> = Promise.allSettled(
      [...leases].map((lease) => lease.settle({ kind: "release" })),
    ).then(() => void this.#settling.delete(releasing));
    this.#settling.add(releasing);
  }

  /** Owns the deliveries for as long as the store needs; drops what others have by now. */
  #ownOn(owned: Set<Lease>): () => void {
    const { clock, leaseMs } = this.#settings;
    let cancel = (): void => {};
    let isOver = false;
    const extend = async (): Promise<void> => {
      await Promise.all(
        [...owned].map(async (lease) => {
          // One that cannot be asked for now may still be owned: the store decides by its id.
          const answer = await lease.extend(leaseMs).catch(() => "ok");
          if (answer === "lost") owned.delete(lease);
        }),
      );
      arm();
    };
    const arm = (): void => {
      if (!isOver) cancel = clock.after(leaseMs / 3, () => void extend(), { background: true });
    };
    arm();
    return () => {
      isOver = true;
      cancel();
    };
  }

  async #pause(error: unknown, failures: number): Promise<void> {
    const { clock, minRetryMs, maxRetryMs } = this.#settings;
    if (this.#closer.signal.aborted) return;
    this.#fail(error);
    const pauseMs = Math.min(maxRetryMs, minRetryMs * 2 ** Math.min(failures - 1, 20));
    await clock.sleep(pauseMs, this.#closer.signal).catch(() => {}); // closing ends it
  }

  #fail(error: unknown): void {
    const { logger, onError, group } = this.#settings;
    this.#error = error;
    logger.error("The archive cannot go on just now.", {
      group,
      error: describeError(error).message,
    });
    onError(error);
  }
}
