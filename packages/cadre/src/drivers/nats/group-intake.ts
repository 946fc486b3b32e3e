/**
 * One member of a group: asks for as much as is pulled, of the log and of the group's copies.
 *
 *   pull ─▶ ask both ─▶ message ─▶ queue ─▶ handed out
 *                          └─ nobody pulls any more ─▶ kept a moment ─▶ given back, not counted
 *
 * A request cannot be taken back: what comes for it although nobody pulls any more goes on to the
 * other members. That is at most as much as was pulled last.
 */
import type { Intake, Lease } from "../../bus/transport.ts";
import { WaitingPulls } from "../../bus/waiting-pulls.ts";
import type { NatsMessageLike } from "./client.ts";
import { consumerInfo, type GroupRecord } from "./groups.ts";
import { forCaller } from "./nats-error.ts";
import { NatsLease, type LeaseParts } from "./nats-lease.ts";
import { PullLine } from "./pull-line.ts";
import type { Session } from "./session.ts";
import { directedSubject, groupToken, idToken } from "./subjects.ts";
import type { DeliveryInfo } from "./wire.ts";

export interface GroupIntakeParts {
  readonly session: Session;
  readonly record: GroupRecord;
  readonly leaseMs: number;
  readonly onClose: (intake: GroupIntake) => void;
}

const keepMs = 100; // for what came too late to be handed out; the next pull usually takes it

export class GroupIntake implements Intake {
  readonly #parts: GroupIntakeParts;
  readonly #events: PullLine;
  readonly #copies: PullLine;
  readonly #pulls = new WaitingPulls();
  readonly #endListening: () => void;
  /** Copies first: they have waited longest, and come one at a time. */
  #queue: NatsLease[] = [];
  #moreCopies = 0;
  #failure: unknown;
  #closing: Promise<void> | undefined;
  #cancelKeep: (() => void) | undefined;

  constructor(parts: GroupIntakeParts) {
    this.#parts = parts;
    const { stream, directedStream } = parts.session.settings;
    this.#events = this.#line(stream, false);
    this.#copies = this.#line(directedStream, true);
    this.#endListening = parts.session.onChange(() => this.#askAnew());
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    while (!this.#closing && !signal.aborted && max >= 1) {
      const leases = this.#take(max);
      if (leases.length > 0) return leases;
      this.#parts.session.assertUsable();
      const woken = this.#pulls.next(max, signal);
      this.#ask();
      await woken;
      const failure = this.#failure;
      this.#failure = undefined;
      if (failure !== undefined) throw failure;
    }
    return [];
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Without giving anything back: the connection ends. */
  abandon(): void {
    this.#closing ??= Promise.resolve();
    this.#end();
  }

  async #close(): Promise<void> {
    await Promise.resolve(); // `#closing` is set before anybody wakes
    this.#end();
    await Promise.all([this.#events.end(), this.#copies.end()]);
    await this.#giveBack();
  }

  #end(): void {
    this.#endListening();
    this.#cancelKeep?.();
    this.#pulls.wakeAll();
    this.#parts.onClose(this);
  }

  #line(stream: string, ofCopies: boolean): PullLine {
    const { session, record, leaseMs } = this.#parts;
    const { prefix } = session.settings;
    const consumer = groupToken(record.name);
    const parts: LeaseParts = {
      session,
      stream,
      consumer,
      ackWaitMs: record.ackWaitMs,
      copySubject: ({ event, position }) =>
        directedSubject(prefix, record.name, event ? idToken(event.id) : `at-${position}`),
    };
    return new PullLine(session, stream, consumer, {
      onMessage: (message, info) => this.#receive(parts, message, info, ofCopies, leaseMs),
      onDry: () => this.#ask(),
      onGone: () => void this.#checkGone(stream, consumer),
    });
  }

  #receive(
    parts: LeaseParts,
    message: NatsMessageLike,
    info: DeliveryInfo,
    isCopy: boolean,
    leaseMs: number,
  ): void {
    const lease = new NatsLease(parts, message, info);
    if (isCopy) this.#moreCopies = info.pending;
    if (isCopy) this.#queue.unshift(lease);
    else this.#queue.push(lease);
    if (this.#pulls.size > 0) {
      this.#pulls.wakeAll();
      return;
    }
    // While it lies here it must not run out; what nobody takes is given back long before.
    lease.own(leaseMs + keepMs);
    if (!this.#closing) this.#giveBackSoon();
  }

  #take(max: number): NatsLease[] {
    this.#queue = this.#queue.filter((lease) => !lease.isLost);
    const leases = this.#queue.splice(0, max);
    for (const lease of leases) lease.own(this.#parts.leaseMs);
    return leases;
  }

  #ask(): void {
    const { wanted } = this.#pulls;
    if (wanted === 0 || this.#closing) return;
    this.#copies.ask(Math.min(wanted, Math.max(1, this.#moreCopies)));
    this.#events.ask(wanted);
  }

  #askAnew(): void {
    this.#events.reset();
    this.#copies.reset();
    if (this.#parts.session.client.isClosed()) this.#pulls.wakeAll();
    else this.#ask();
  }

  #giveBackSoon(): void {
    const { clock } = this.#parts.session.settings;
    this.#cancelKeep ??= clock.after(keepMs, () => void this.#giveBack(), { background: true });
  }

  async #giveBack(): Promise<void> {
    this.#cancelKeep?.();
    this.#cancelKeep = undefined;
    const leases = this.#queue.splice(0);
    await Promise.all(leases.map((lease) => this.#release(lease)));
  }

  async #release(lease: NatsLease): Promise<void> {
    try {
      await lease.settle({ kind: "release" });
    } catch (error) {
      const { session, record } = this.#parts;
      session.settings.logger.warn(
        "An event could not be given back; it comes again when its lease runs out.",
        { group: record.name, position: lease.recorded.position, error },
      );
    }
  }

  /** The group was deleted, or JetStream is just starting. */
  async #checkGone(stream: string, consumer: string): Promise<void> {
    const { session, record } = this.#parts;
    const { clock } = session.settings;
    try {
      if (await consumerInfo(session, stream, consumer)) {
        clock.after(keepMs, () => this.#ask(), { background: true });
        return;
      }
      session.settings.logger.warn(
        "A group was deleted while a member was open; the member ends.",
        {
          group: record.name,
        },
      );
      await this.close();
    } catch (error) {
      this.#failure = forCaller(error, session.url);
    }
    this.#pulls.wakeAll();
  }
}
