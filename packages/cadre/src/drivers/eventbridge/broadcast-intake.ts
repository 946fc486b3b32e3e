/**
 * A broadcast: a queue and a rule of its own, which end with it.
 *
 * What is received is handed out and then deleted, several at a time; what comes twice is known by
 * its entry. A process that is killed leaves queue and rule behind; while a broadcast lives it says
 * so on its queue, and who connects next removes those that have been silent.
 */
import { BroadcastLease } from "../../bus/broadcast-lease.ts";
import type { Intake, Lease, Recorded } from "../../bus/transport.ts";
import { WaitingPulls } from "../../bus/waiting-pulls.ts";
import { describeError } from "../../core/errors.ts";
import { compilePattern } from "../../core/pattern.ts";
import type { MessageLike } from "./client.ts";
import { timeoutError } from "./eventbridge-error.ts";
import { fillRule, makeQueue, putRule, removeAll, sendProbe } from "./groups.ts";
import { QueueTap } from "./queue-tap.ts";
import { ReceiptDesk } from "./receipts.ts";
import type { Session } from "./session.ts";
import { aliveTags, sayAlive, sayAliveMs } from "./sweep.ts";
import { toReceived } from "./wire.ts";

export interface BroadcastIntakeParts {
  readonly session: Session;
  readonly subscription: string;
  readonly patterns: readonly string[];
  readonly onClose: (intake: BroadcastIntake) => void;
}

const keptMs = 3_600_000; // a reader that is an hour behind misses events
const probeAgainMs = 1_000;
const deleteMs = 200; // much less than what was received is hidden for
const remembered = 10_000; // entries, to tell what SQS or EventBridge hands out twice

export class BroadcastIntake implements Intake {
  readonly #parts: BroadcastIntakeParts;
  readonly #name: string;
  readonly #tap: QueueTap;
  readonly #receipts: ReceiptDesk;
  readonly #matchers: readonly ((type: string) => boolean)[];
  readonly #seen = new Set<string>();
  readonly #pulls = new WaitingPulls();
  #queue: Recorded[] = [];
  #isProving = true;
  #isMending = false;
  #failure: unknown;
  #cancelAlive: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  private constructor(parts: BroadcastIntakeParts, name: string, url: string) {
    this.#parts = parts;
    this.#name = name;
    const { session, patterns } = parts;
    this.#matchers = patterns.map((pattern) => compilePattern(pattern));
    this.#receipts = new ReceiptDesk(session, url, deleteMs);
    this.#tap = new QueueTap({
      session,
      url,
      leaseMs: session.settings.requestTimeoutMs,
      wanted: () => (this.#isProving ? 10 : this.#pulls.wanted - this.#queue.length),
      onMessages: (messages) => this.#receive(messages),
      onFailure: (error) => this.#fail(error),
      onGone: () => this.#mend(),
    });
  }

  static async open(parts: BroadcastIntakeParts): Promise<BroadcastIntake> {
    const { session, subscription } = parts;
    const { clock, random } = session.settings;
    const name = session.names.broadcast(`${subscription} ${random.id(clock.now())}`);
    const url = await makeBoth(parts, name);
    const intake = new BroadcastIntake(parts, name, url);
    try {
      await fillRule(session, name);
      await intake.#prove();
      intake.#liveOn(url);
      return intake;
    } catch (error) {
      await intake.close();
      throw error;
    }
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    this.#failure = undefined; // of a time when nobody pulled; what still fails says so anew
    while (!this.#closing && !signal.aborted && max >= 1) {
      if (this.#queue.length > 0) {
        return this.#queue.splice(0, max).map((recorded) => new BroadcastLease(recorded));
      }
      await this.#next(max, signal);
      const failure = this.#failure;
      this.#failure = undefined;
      if (failure !== undefined && !this.#closing) throw failure;
    }
    return [];
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.resolve(); // `#closing` is set before anybody wakes
    this.#cancelAlive?.();
    this.#pulls.wakeAll();
    await this.#tap.close();
    this.#parts.onClose(this);
    try {
      await removeAll(this.#parts.session, this.#name);
    } catch (error) {
      const fields = { name: this.#name, error: describeError(error).message };
      const said = "A broadcast's queue could not be removed; who connects later removes it.";
      this.#parts.session.settings.logger.warn(said, fields);
    }
  }

  async #prove(): Promise<void> {
    const { session } = this.#parts;
    const { clock, connectTimeoutMs } = session.settings;
    const end = clock.monotonic() + connectTimeoutMs;
    while (this.#isProving) {
      if (this.#failure !== undefined) throw this.#failure;
      if (clock.monotonic() > end) {
        throw timeoutError(session.url, `a probe of rule ${this.#name}`, connectTimeoutMs);
      }
      await sendProbe(session, this.#name);
      this.#tap.ask();
      const timer = new AbortController();
      const late = clock.after(probeAgainMs, () => timer.abort());
      await this.#next(0, timer.signal);
      late();
    }
  }

  #liveOn(url: string): void {
    const { session } = this.#parts;
    const { clock, logger } = session.settings;
    const again = (): void => {
      this.#cancelAlive = clock.after(
        sayAliveMs,
        () => {
          sayAlive(session, url)
            .catch((error: unknown) => logger.warn("A broadcast could not be renewed.", { error }))
            .finally(() => {
              if (!this.#closing) again();
            });
        },
        { background: true },
      );
    };
    again();
  }

  #next(max: number, signal: AbortSignal): Promise<void> {
    const woken = this.#pulls.next(max, signal);
    this.#tap.ask();
    return woken;
  }

  #receive(messages: readonly MessageLike[]): void {
    const now = this.#parts.session.settings.clock.now();
    for (const message of messages) {
      this.#delete(message.ReceiptHandle ?? "");
      const { recorded, entryId, isProbe } = toReceived(message, now);
      if (isProbe) {
        this.#isProving = false;
        continue;
      }
      if (this.#seen.has(entryId)) continue;
      this.#seen.add(entryId);
      if (this.#seen.size > remembered) this.#seen.delete(this.#seen.keys().next().value!);
      const { event } = recorded;
      if (event && !this.#matchers.some((matches) => matches(event.type))) continue;
      this.#queue.push(recorded);
    }
    this.#pulls.wakeAll();
  }

  /** One that is not deleted comes again, and is known by its entry. */
  #delete(receipt: string): void {
    this.#receipts.delete(receipt).catch((error: unknown) => {
      const { logger } = this.#parts.session.settings;
      logger.debug("A broadcast's message could not be deleted.", { error });
    });
  }

  /**
   * Others took this process for dead, because it slept for longer than they wait. It hears again
   * from here on; what came meanwhile it has missed.
   */
  #mend(): void {
    const { session } = this.#parts;
    const name = this.#name;
    this.#fail(
      new Error(`The queue ${name} was deleted. It is made again, without what was in it.`),
    );
    if (this.#isMending || this.#closing) return;
    this.#isMending = true;
    makeBoth(this.#parts, name)
      .then(() => fillRule(session, name))
      .catch((error: unknown) => this.#fail(error)) // who pulls next finds it gone again
      .finally(() => (this.#isMending = false));
  }

  #fail(error: unknown): void {
    this.#failure = error;
    this.#pulls.wakeAll();
  }
}

/** Queue and rule; neither is left behind when the other could not be made. */
async function makeBoth(parts: BroadcastIntakeParts, name: string): Promise<string> {
  const { session, subscription, patterns } = parts;
  const description = JSON.stringify({ broadcast: subscription.slice(0, 200) });
  const tags = aliveTags(session);
  const [queue, rule] = await Promise.allSettled([
    makeQueue(session, { name, mark: "Broadcast", retentionMs: keptMs, tags }),
    putRule(session, { name, patterns, description }),
  ]);
  if (queue.status === "fulfilled" && rule.status === "fulfilled") return queue.value;
  await removeAll(session, name).catch(() => {}); // the sweep finds the queue later
  throw queue.status === "rejected" ? queue.reason : (rule as PromiseRejectedResult).reason;
}
