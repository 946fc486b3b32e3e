/**
 * One member of a group: lets in as much as is pulled.
 *
 *   pull ─▶ consumer with room for it ─▶ delivery ─▶ queue ─▶ handed out
 *                                          └─ nobody pulls ─▶ kept a moment ─▶ given back
 *
 * What is acked makes room, and the server fills it at once. So a member that goes on pulling finds
 * its next events here already; one that stops gives them back, and no attempt is counted.
 */
import { RecentlyHanded } from "../../bus/recently-handed.ts";
import { WaitingPulls } from "../../bus/waiting-pulls.ts";
import type { Intake, Lease } from "../../bus/transport.ts";
import type { RabbitMessageLike } from "./client.ts";
import type { HeldChannel } from "./held-channel.ts";
import { QueueTap } from "./queue-tap.ts";
import { RabbitmqLease, type LeaseParts } from "./rabbitmq-lease.ts";
import type { Session } from "./session.ts";
import { attemptOf, headerOf, numberHeader, textHeader } from "./wire.ts";

export interface GroupIntakeParts {
  readonly session: Session;
  readonly group: string;
  readonly leaseMs: number;
  readonly onClose: (intake: GroupIntake) => void;
}

const fillMs = 50; // in which the server has filled the room that an ack has made, if it can
const mostFillMs = 2_000; // for a server that is busy and fills the room later
const lookMs = 5;
const keepMs = 100; // for what came although nobody pulls; the next pull usually takes it

export class GroupIntake implements Intake {
  readonly #parts: GroupIntakeParts;
  readonly #leaseParts: LeaseParts;
  readonly #tap: QueueTap;
  readonly #pulls = new WaitingPulls();
  readonly #recent: RecentlyHanded;
  /** All that is in these hands: waiting here, handed out, or being sent on. */
  readonly #leases = new Set<RabbitmqLease>();
  readonly #endListening: () => void;
  #queue: RabbitmqLease[] = [];
  #roomSince = -Infinity;
  #failure: unknown;
  #isGone = false;
  #closing: Promise<void> | undefined;
  #cancelKeep: (() => void) | undefined;

  constructor(parts: GroupIntakeParts) {
    this.#parts = parts;
    const { session, group } = parts;
    const queue = session.names.group(group);
    this.#leaseParts = {
      session,
      queue,
      beforeRelease: () => this.#shutUnlessPulled(),
      calm: () => this.#tap.stopping,
      onTold: () => this.#noteRoom(),
      onEnd: (lease) => this.#onEnd(lease),
    };
    this.#recent = new RecentlyHanded(session.settings.clock);
    this.#tap = new QueueTap(session, queue, {
      onMessage: (held, message, generation) => this.#receive(held, message, generation),
      onBreak: () => this.#onBreak(),
      onGone: () => this.#onGone(),
      onFailure: (error) => {
        this.#failure = error;
        this.#pulls.wakeAll();
      },
    });
    this.#endListening = session.into.onChange(() => this.#ask());
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    while (!this.#closing && !this.#isGone && !signal.aborted && max >= 1) {
      const leases = this.#take(max);
      if (leases.length > 0) return leases;
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
    this.#endListening();
    this.#cancelKeep?.();
    this.#pulls.wakeAll();
    await this.#filled();
    await this.#tap.shut();
    await this.#giveBack();
    this.#parts.onClose(this);
    if (this.#leases.size === 0) await this.#tap.end();
  }

  #receive(held: HeldChannel, message: RabbitMessageLike, generation: number): void {
    const lease = new RabbitmqLease(this.#leaseParts, held, message, generation);
    this.#leases.add(lease);
    const leftMs = numberHeader(message, headerOf.left);
    if (leftMs !== undefined) {
      void this.#sendOn(lease, leftMs, numberHeader(message, headerOf.delay) ?? leftMs);
      return;
    }
    this.#queue.push(lease);
    if (this.#pulls.size > 0) this.#pulls.wakeAll();
    else this.#restSoon();
  }

  #take(max: number): RabbitmqLease[] {
    const taken: RabbitmqLease[] = [];
    while (taken.length < max && this.#queue.length > 0) {
      const lease = this.#queue.shift()!;
      if (lease.isLost) continue;
      if (this.#isSuperfluous(lease.message)) {
        void this.#drop(lease);
        continue;
      }
      this.#recent.handed(lease.recorded.event?.id);
      lease.own(this.#parts.leaseMs);
      taken.push(lease);
    }
    return taken;
  }

  async #next(max: number, signal: AbortSignal): Promise<void> {
    const woken = this.#pulls.next(max, signal);
    this.#ask();
    await woken;
    // Who stops waiting may not come again; who has got something mostly does.
    if (signal.aborted) void this.#rest();
    else this.#restSoon();
  }

  /** A copy that was directed here while the event itself still waited. */
  #isSuperfluous(message: RabbitMessageLike): boolean {
    const directedAt = numberHeader(message, headerOf.directedAt);
    const id = textHeader(message, headerOf.directedId);
    if (directedAt === undefined || id === undefined) return false;
    // One that has come back was handed out before, and that is what is remembered.
    if (attemptOf(message) !== (numberHeader(message, headerOf.attempt) ?? 1)) return false;
    return this.#recent.wasHandedAfter(id, directedAt);
  }

  /** Sees to it that as much can come in as is waited for. */
  #ask(): void {
    const { wanted } = this.#pulls;
    if (wanted === 0 || this.#closing || this.#isGone) return;
    this.#cancelKeep?.();
    this.#cancelKeep = undefined;
    const room = this.#room();
    // A member that asks for one more each time has a few consumers in the end, not many.
    if (room < wanted) this.#tap.grow(Math.max(wanted - room, Math.floor(this.#tap.size / 2)));
  }

  #restSoon(): void {
    if (this.#closing || this.#pulls.size > 0) return;
    if (this.#tap.size === 0 && this.#queue.length === 0) return;
    const { clock } = this.#parts.session.settings;
    this.#cancelKeep ??= clock.after(keepMs, () => void this.#rest(), { background: true });
  }

  async #rest(): Promise<void> {
    this.#cancelKeep?.();
    this.#cancelKeep = undefined;
    // Consumers with room that get nothing harm nobody. Ended now, they could send back what comes
    // this moment; what comes later is given back after it has been kept.
    if (this.#queue.length === 0 && this.#room() > 0) return;
    await this.#shutUnlessPulled();
    if (this.#pulls.size === 0) await this.#giveBack();
  }

  async #shutUnlessPulled(): Promise<void> {
    if (this.#pulls.size > 0 || this.#tap.size === 0) return;
    await this.#filled();
    if (this.#pulls.size === 0) await this.#tap.shut();
  }

  /**
   * Consumers are best ended while they are full: what the server is just sending to one that ends
   * goes back to the queue, and counts as an attempt. While the queue says that something waits, it
   * is about to come here.
   */
  async #filled(): Promise<void> {
    const { clock } = this.#parts.session.settings;
    const end = clock.monotonic() + mostFillMs;
    while (this.#pulls.size === 0 && this.#room() > 0 && this.#tap.size > 0) {
      const isQuick = clock.monotonic() - this.#roomSince <= fillMs;
      if (!isQuick && (clock.monotonic() > end || (await this.#tap.waiting()) === 0)) return;
      await clock.sleep(lookMs);
    }
  }

  /** How much could come in now. */
  #room(): number {
    const { generation, size } = this.#tap;
    let room = size;
    for (const lease of this.#leases) {
      if (lease.generation === generation && !lease.isTold) room -= 1;
    }
    return room;
  }

  #noteRoom(): void {
    this.#roomSince = this.#parts.session.settings.clock.monotonic();
  }

  async #giveBack(): Promise<void> {
    await Promise.all(this.#queue.splice(0).map((lease) => this.#release(lease)));
  }

  async #release(lease: RabbitmqLease): Promise<void> {
    try {
      await lease.settle({ kind: "release" });
    } catch (error) {
      this.#warn("An event could not be given back; it comes again with its channel's end.", error);
    }
  }

  async #drop(lease: RabbitmqLease): Promise<void> {
    try {
      await lease.settle({ kind: "ack" });
    } catch (error) {
      this.#warn("A superfluous copy of an event could not be removed; it comes again.", error);
    }
  }

  async #sendOn(lease: RabbitmqLease, leftMs: number, delayMs: number): Promise<void> {
    const { session } = this.#parts;
    // Until it works, or the event goes back with its channel.
    while (!session.ended && !lease.isLost) {
      try {
        await lease.stay(leftMs, delayMs);
        return;
      } catch (error) {
        this.#warn("A delayed event could not be sent on yet.", error);
        await session.settings.clock.sleep(keepMs);
      }
    }
  }

  #onEnd(lease: RabbitmqLease): void {
    this.#leases.delete(lease);
    this.#noteRoom();
    if (this.#closing && this.#leases.size === 0 && this.#queue.length === 0) void this.#tap.end();
  }

  /** The server has given to others what was here. */
  #onBreak(): void {
    this.#queue = [];
    this.#leases.clear();
    this.#ask();
  }

  #onGone(): void {
    const { group, session } = this.#parts;
    if (this.#isGone || this.#closing) return;
    this.#isGone = true;
    session.settings.logger.warn("A group was deleted while a member was open; the member ends.", {
      group,
    });
    this.close().catch((error: unknown) => this.#warn("A member could not be closed.", error));
  }

  #warn(message: string, error: unknown): void {
    const { group, session } = this.#parts;
    if (!session.ended) session.settings.logger.warn(message, { group, error });
  }
}
