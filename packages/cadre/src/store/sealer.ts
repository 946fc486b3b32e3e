/**
 * The sealer: chains blocks of rows behind the head of the log, off the path of whoever appends.
 *
 *   standby ──lease──▶ active: a block is full, or a row has waited long enough ─▶ seal ─▶ …
 *      ▲                  │
 *      └────lease lost────┘           close: seals all that is left, gives the lease back
 *
 * Any number of sealers may run on one log; one is active. Seal and chain end are written in one
 * commit that the lease fences, so that the chain never forks; after a crash the next sealer goes
 * on where the chain ends.
 */
import { systemClock, type Clock } from "../core/clock.ts";
import { describeError, isCadreError } from "../core/errors.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import { checkOptions, someFunction, someObject, wholeNumber } from "../core/options.ts";
import { secureRandom, type Random } from "../core/random.ts";
import type { EventStore, LogPosition, StoredEvent } from "./event-store.ts";
import { createLeases, type HeldLease } from "./lease.ts";
import { leafOf, noDigest, readChainHead, sealLine, sealWrites, type Anchor } from "./seal.ts";
import { readRows } from "./store-query.ts";

const defaults = {
  blockRows: 256, // a seal of 8 kB
  sealAfterMs: 5_000,
  leaseMs: 15_000,
};

export interface SealerOptions {
  readonly store: EventStore;
  /** Rows that one seal covers at most. @default 256 */
  readonly blockRows?: number;
  /** How long a row may wait for its seal, in milliseconds. @default 5_000 */
  readonly sealAfterMs?: number;
  /** Another sealer takes over so long after this one died, in milliseconds. @default 15_000 */
  readonly leaseMs?: number;
  /**
   * Called after each seal, and with the last one that was found at the start, to keep the anchor
   * elsewhere. What it throws is logged; the next anchor covers everything that this one does.
   */
  readonly onSeal?: (anchor: Anchor) => void | Promise<void>;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

export interface Sealer {
  /** The last seal that this sealer wrote or found. */
  readonly sealed: Anchor | undefined;
  /** Why it cannot seal just now. */
  readonly error: unknown;
  /** Seals everything that is committed by now. False when another sealer is active. */
  seal(): Promise<boolean>;
  /** Seals what is left, unless another sealer is active. Closing twice is allowed. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The name of the lease that whoever writes seals must have. */
export const sealerLease = "audit";

/**
 * Starts a sealer.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function startSealer(options: SealerOptions): Sealer {
  checkOptions<SealerOptions>("startSealer", options, {
    store: someObject,
    blockRows: wholeNumber(1, 4_096),
    sealAfterMs: wholeNumber(1),
    leaseMs: wholeNumber(100),
    onSeal: someFunction,
    clock: someObject,
    random: someObject,
    logger: someObject,
  });
  return new RunningSealer({
    store: options.store,
    blockRows: options.blockRows ?? defaults.blockRows,
    sealAfterMs: options.sealAfterMs ?? defaults.sealAfterMs,
    leaseMs: options.leaseMs ?? defaults.leaseMs,
    onSeal: options.onSeal ?? ((): void => {}),
    clock: options.clock ?? systemClock,
    random: options.random ?? secureRandom,
    logger: options.logger ?? silentLogger,
  });
}

class RunningSealer implements Sealer {
  readonly #options: Required<SealerOptions>;
  readonly #owner: string;
  readonly #leases: ReturnType<typeof createLeases>;
  #lease: HeldLease | undefined;
  #sealed: Anchor | undefined;
  #error: unknown;
  #working: Promise<void> = Promise.resolve();
  #isBusy = false;
  #closing: Promise<void> | undefined;
  #cancelTick: () => void = () => {};
  readonly #unwatch: () => void;

  constructor(options: Required<SealerOptions>) {
    const { store, clock, random } = options;
    this.#options = options;
    this.#owner = `sealer/${random.id(clock.now())}`;
    this.#leases = createLeases({ store, clock });
    this.#unwatch = store.watch(() => {
      if (!this.#isBusy) void this.#work(false).catch(() => undefined);
    });
    this.#tick();
  }

  get sealed(): Anchor | undefined {
    return this.#sealed;
  }

  get error(): unknown {
    return this.#error;
  }

  async seal(): Promise<boolean> {
    await this.#work(true);
    return this.#lease?.valid() ?? false;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#cancelTick();
    this.#unwatch();
    try {
      await this.#work(true);
    } finally {
      await this.#lease?.release();
    }
  }

  /** Also renews the lease: it must come several times within its time. */
  #tick(): void {
    const { clock, sealAfterMs, leaseMs } = this.#options;
    const delayMs = Math.min(sealAfterMs, Math.floor(leaseMs / 3));
    this.#cancelTick = clock.after(
      delayMs,
      () => {
        const working = this.#work(true).catch(() => undefined);
        void working.then(() => this.#closing ?? this.#tick());
      },
      { background: true },
    );
  }

  /** One after the other. A failure is kept, told to the log once, and tried again. */
  #work(everything: boolean): Promise<void> {
    const working = this.#working.then(async () => {
      this.#isBusy = true;
      try {
        await this.#sealNow(everything);
        this.#error = undefined;
      } catch (error) {
        if (isCadreError(error, "LEASE_LOST")) {
          this.#lease = undefined;
          return;
        }
        if (this.#error === undefined) {
          const { message } = describeError(error);
          this.#options.logger.warn("The log cannot be sealed just now.", { error: message });
        }
        this.#error = error;
        throw error;
      } finally {
        this.#isBusy = false;
      }
    });
    this.#working = working.catch(() => undefined);
    return working;
  }

  async #sealNow(everything: boolean): Promise<void> {
    const { store, blockRows, leaseMs } = this.#options;
    const sealedTo = this.#sealed?.to ?? 0;
    if (!everything && (await store.head()) - sealedTo < blockRows) return;
    if (!this.#lease?.valid()) {
      const request = { name: sealerLease, owner: this.#owner, ttlMs: leaseMs };
      this.#lease = await this.#leases.tryAcquire(request);
      if (!this.#lease) return;
    } else await this.#lease.renew();
    await sealBehind(this.#options, this.#lease, everything, async (anchor) => {
      if (anchor.hash === this.#sealed?.hash) return;
      this.#sealed = anchor;
      try {
        await this.#options.onSeal(anchor);
      } catch (error) {
        this.#options.logger.warn("An anchor could not be kept elsewhere.", { error });
      }
    });
  }
}

/** Seals full blocks from where the chain ends, and with `everything` the rest as well. */
async function sealBehind(
  { store, clock, blockRows }: Pick<Required<SealerOptions>, "store" | "clock" | "blockRows">,
  lease: HeldLease,
  everything: boolean,
  onSeal: (anchor: Anchor) => Promise<void>,
): Promise<void> {
  const head = await readChainHead(store);
  let anchor = head.anchor;
  let version = head.slot?.version ?? 0;
  const upTo = await store.head();
  if (anchor) await onSeal(anchor);
  if (upTo <= (anchor?.to ?? 0)) return;
  const write = async (block: Block, to: LogPosition): Promise<void> => {
    const seal = block.toSeal(anchor, to, clock.now());
    const writes = sealWrites(sealLine(seal), seal, version);
    await lease.commit({ slots: writes.slots });
    version += 1;
    anchor = writes.anchor;
    await onSeal(anchor);
  };
  let block = new Block();
  for await (const stored of readRows(store, { after: anchor?.to ?? 0, upTo })) {
    block.add(stored);
    if (block.size < blockRows) continue;
    await write(block, stored.position);
    block = new Block();
  }
  if (everything && block.size > 0) await write(block, block.last);
}

/** Rows that wait for their seal. */
class Block {
  readonly #rows: number[] = [];
  readonly #leaves: string[] = [];

  get size(): number {
    return this.#leaves.length;
  }

  get last(): LogPosition {
    return this.#rows.at(-1) ?? 0;
  }

  add(stored: StoredEvent): void {
    const { position } = stored;
    this.#leaves.push(leafOf(stored));
    if (this.#rows.length > 0 && position === this.last + 1) {
      this.#rows[this.#rows.length - 1] = position;
    } else this.#rows.push(position, position);
  }

  toSeal(
    before: Anchor | undefined,
    to: LogPosition,
    sealedAt: number,
  ): Parameters<typeof sealLine>[0] {
    return {
      seal: (before?.anchor ?? 0) + 1,
      prev: before?.hash ?? noDigest,
      from: (before?.to ?? 0) + 1,
      to,
      rows: this.#rows,
      leaves: this.#leaves.join(""),
      sealedAt,
    };
  }
}
