/**
 * The relay of an outbox in the user's database: publishes what was committed there.
 *
 *   look ─▶ claim (a lease on rows of some keys) ─▶ publish, one of each key at a time ─▶ mark ─▶ …
 *     ▲                                                  │
 *     │                          refused: due again later, its key waits, the others go on
 *     └── nothing due: sleep, until woken or the poll ───┘
 *
 * - Any number of relays may run, in any number of processes. A claim that ends without a word runs
 *   out, and another relay takes the rows.
 * - At least once: a crash between publishing and marking publishes again, under the same id. The
 *   inbox, or a carrier that removes duplicates by id, makes it once.
 * - Events of one key are published in the order of their rows, also over crashes and claims that
 *   were lost: a row is published only after all before it in its key were. Two transactions that
 *   overlap in time have no order, unless both change one row before they add.
 * - What is refused is tried for ever, with growing pauses. What is refused for ever keeps its key
 *   waiting until a person retries or skips it, or is set aside: `onPoison`.
 */
import type { Bus } from "../bus/bus.ts";
import { guardOfBus } from "../bus/guard-of-bus.ts";
import type { Identity } from "../bus/identity/identity.ts";
import { signEvent } from "../bus/identity/signed-event.ts";
import type { Transport } from "../bus/transport.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import { checkOptions, oneOf, someFunction, someObject, wholeNumber } from "../core/options.ts";
import { secureRandom, type Random } from "../core/random.ts";
import type { SqlDatabase } from "../core/sql.ts";
import type { OutboxBacklog } from "./outbox-backlog.ts";
import { OutboxRelayRun } from "./outbox-relay-run.ts";
import type { Outbox } from "./outbox.ts";
import { isRefusedForEver } from "./refusal.ts";

const defaults = {
  leaseMs: 30_000,
  maxKeys: 64,
  maxRows: 512,
  minPollMs: 20,
  pollMs: 1_000,
  minRetryMs: 100,
  maxRetryMs: 60_000,
  onPoison: "wait",
  keepPublishedMs: 3_600_000,
  cleanEveryMs: 10_000,
} as const;

export interface OutboxRelayOptions {
  readonly outbox: Pick<Outbox, "table" | "onWake"> & Partial<Pick<Outbox, "signs">>;
  /** The outbox's database. On SQLite, and without a pool, a connection that nobody else uses. */
  readonly client: SqlDatabase;
  /** Where the events go. Give either this or `transport`. */
  readonly bus?: Pick<Bus, "publishEvent" | "raise">;
  readonly transport?: Pick<Transport, "publish">;
  /** Signs what is not signed yet. @default the bus's keys */
  readonly identity?: Identity;
  /**
   * How long rows are owned without a sign, in milliseconds. After a crash, the keys that the relay
   * had in hand wait so long. @default 30_000
   */
  readonly leaseMs?: number;
  /** Keys, and events without a key, that are claimed and published at once. @default 64 */
  readonly maxKeys?: number;
  /** Rows of one claim: what a crash may publish again. @default 512 */
  readonly maxRows?: number;
  /** The pause after a look that found nothing; it doubles up to `pollMs`. @default 20 */
  readonly minPollMs?: number;
  /** @default 1_000 */
  readonly pollMs?: number;
  /** Pause of a row after its first refusal; doubles each time. @default 100 */
  readonly minRetryMs?: number;
  /** @default 60_000 */
  readonly maxRetryMs?: number;
  /**
   * What becomes of an event that can never be published: it waits, and its key behind it, or it is
   * set aside and its key goes on. Both show in `cadre outbox`. @default "wait"
   */
  readonly onPoison?: "wait" | "set-aside";
  /** @default the codes that say so: TOO_LARGE, INVALID_PAYLOAD, UNKNOWN_TYPE … */
  readonly isPoison?: (error: unknown, attempts: number) => boolean;
  /** How long published rows are kept, in milliseconds. @default 3_600_000 */
  readonly keepPublishedMs?: number;
  /** How often they are looked for, in milliseconds. @default 10_000 */
  readonly cleanEveryMs?: number;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

export interface OutboxRelayStatus {
  readonly phase: "running" | "closed";
  /** Events that this relay published since it started. */
  readonly published: number;
  /** Times that the bus refused one. */
  readonly refused: number;
  /** Rows that another relay owned by the time that they were marked: published twice. */
  readonly lost: number;
  readonly cleaned: number;
  /** Of the whole outbox; absent while the database cannot be read. */
  readonly backlog?: OutboxBacklog;
  /**
   * Why the database cannot be used just now, or what the bus said last, until it takes an event
   * again.
   */
  readonly error?: unknown;
}

export interface OutboxRelay {
  status(): Promise<OutboxRelayStatus>;
  /** Looks at once; for after a commit in this process. */
  wake(): void;
  /** Resolves when no row waits, whoever published it. */
  idle(): Promise<void>;
  /**
   * Ends after the events in hand are published and marked, and gives its claim back. Closing twice
   * is allowed.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** One result for each event, in order: undefined, or why it was refused. */
export type PublishAll = (
  events: readonly AgentEvent[],
) => Promise<readonly (undefined | { readonly error: unknown })[]>;

/** What a run needs, with nothing optional. */
export interface OutboxRelayContext extends Required<
  Omit<OutboxRelayOptions, "bus" | "transport" | "identity">
> {
  readonly publish: PublishAll;
  readonly raise: Bus["raise"];
}

/**
 * Starts a relay from the outbox to the bus. The table must be there: `outbox.setup`.
 *
 * @throws {CadreError} INVALID_OPTION
 */
// oxlint-disable-next-line require-await -- what is refused is to be a rejection
export async function startOutboxRelay(options: OutboxRelayOptions): Promise<OutboxRelay> {
  checkOptions("startOutboxRelay", options, {
    outbox: someObject,
    client: someObject,
    bus: someObject,
    transport: someObject,
    identity: someObject,
    leaseMs: wholeNumber(3),
    maxKeys: wholeNumber(1, 1_024),
    maxRows: wholeNumber(1, 8_192),
    minPollMs: wholeNumber(1),
    pollMs: wholeNumber(1),
    minRetryMs: wholeNumber(1),
    maxRetryMs: wholeNumber(1),
    onPoison: oneOf("wait", "set-aside"),
    isPoison: someFunction,
    keepPublishedMs: wholeNumber(0),
    cleanEveryMs: wholeNumber(1),
    clock: someObject,
    random: someObject,
    logger: someObject,
  });
  const { bus, transport, identity: _signs, ...rest } = options;
  const run = new OutboxRelayRun({
    ...defaults,
    clock: systemClock,
    random: secureRandom,
    logger: silentLogger,
    isPoison: isRefusedForEver,
    ...rest,
    publish: publisherOf(bus, transport, signerFor(options)),
    raise: (error) => bus?.raise(error),
  });
  run.start();
  return run;
}

type Sign = (event: AgentEvent) => AgentEvent;

/**
 * Rows are of this process's own database: it answers for what is not signed, as for what it
 * publishes itself.
 */
function signerFor({ bus, outbox, identity }: OutboxRelayOptions): Sign {
  const guard = bus && guardOfBus(bus);
  if (guard?.isMute && !identity && !outbox.signs) {
    const message =
      "The bus requires signatures and has no key, so that nothing of the outbox could be " +
      "published. Give createBus, createOutbox or startOutboxRelay an identity.";
    throw new CadreError("INVALID_OPTION", message, { option: "identity" });
  }
  if (guard) return (event) => guard.vouch(event, identity);
  if (!identity) return (event) => event;
  return (event) => (event.metadata.signature === undefined ? signEvent(event, identity) : event);
}

function publisherOf(
  bus: OutboxRelayOptions["bus"],
  transport: OutboxRelayOptions["transport"],
  sign: Sign,
): PublishAll {
  if (bus && !transport) {
    return async (events) => {
      // oxlint-disable-next-line require-await -- what cannot be signed is to be a rejection
      const publish = async (event: AgentEvent): Promise<void> => bus.publishEvent(sign(event));
      const settled = await Promise.allSettled(events.map(publish));
      return settled.map((each) =>
        each.status === "fulfilled" ? undefined : { error: each.reason as unknown },
      );
    };
  }
  if (!transport || bus) {
    throw new CadreError("INVALID_OPTION", "startOutboxRelay takes either a bus or a transport.", {
      option: bus ? "transport" : "bus",
    });
  }
  return async (events) => {
    const results = await transport.publish(events.map((event) => ({ event: sign(event) })));
    return events.map((event, index) => {
      const result = results[index];
      if (result?.ok) return undefined;
      const what = `the result of ${event.id}`;
      return {
        error: result?.error ?? new CadreError("INTERNAL", "The transport gave none.", { what }),
      };
    });
  };
}
