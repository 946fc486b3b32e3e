/** One member of a group: lets in as much as is pulled. */
import { RecentlyHanded } from "../../bus/recently-handed.ts";
import type { Intake, Lease } from "../../bus/transport.ts";
import { WaitingPulls } from "../../bus/waiting-pulls.ts";
import type { MessageLike } from "./client.ts";
import { timeoutError } from "./eventbridge-error.ts";
import { sendProbe, type Joined } from "./groups.ts";
import { QueueTap } from "./queue-tap.ts";
import { ReceiptDesk } from "./receipts.ts";
import type { Session } from "./session.ts";
import { SqsLease, type LeaseParts } from "./sqs-lease.ts";
import { attributeOf, numberAttribute } from "./wire.ts";

export interface GroupIntakeParts {
  readonly session: Session;
  readonly group: string;
  readonly joined: Joined;
  readonly leaseMs: number;
  readonly held: Set<SqsLease>;
  readonly onClose: (intake: GroupIntake) => void;
}

const keepMs = 100; // for what came although nobody pulls; the next pull usually takes it
const probeAgainMs = 1_000;

export class GroupIntake implements Intake {
  readonly #parts: GroupIntakeParts;
  readonly #leaseParts: LeaseParts;
  readonly #tap: QueueTap;
  readonly #pulls = new WaitingPulls();
  readonly #recent: RecentlyHanded;
  #queue: SqsLease[] = [];
  #failure: unknown;
  #isGone = false;
  #closing: Promise<void> | undefined;
  #cancelKeep: (() => void) | undefined;
  #onProbe: (() => void) | undefined;

  constructor(parts: GroupIntakeParts) {
    this.#parts = parts;
    const { session, joined, leaseMs, held } = parts;
    this.#recent = new RecentlyHanded(session.settings.clock);
    const receipts = new ReceiptDesk(session, joined.url);
    this.#leaseParts = { session, queue: joined.name, receipts, held };
    this.#tap = new QueueTap({
      session,
      url: joined.url,
      leaseMs,
      wanted: () => this.#wanted(),
      onMessages: (messages, visibleAt) => this.#receive(messages, visibleAt),
      onFailure: (error) => this.#fail(error),
      onGone: () => this.#onGone(),
    });
  }

  /** Waits until the group's rule lets events through. */
  async prove(): Promise<void> {
    const { session, joined } = this.#parts;
    const { clock, connectTimeoutMs } = session.settings;
    if (!joined.isNew) return;
    const end = clock.monotonic() + connectTimeoutMs;
    let isProved = false;
    const proved = new Promise<void>((resolve) => {
      this.#onProbe = () => {
        isProved = true;
        resolve();
      };
    });
    while (!isProved) {
      if (this.#failure !== undefined) throw this.#failure;
      if (clock.monotonic() > end) {
        throw timeoutError(session.url, `a probe of rule ${joined.name}`, connectTimeoutMs);
      }
      await sendProbe(session, joined.name);
      this.#tap.ask();
      const again = new AbortController();
      const late = clock.sleep(probeAgainMs, again.signal).catch(() => {});
      await Promise.race([proved, late]);
      again.abort();
    }
    this.#restSoon();
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    this.#failure = undefined; // of a time when nobody pulled; what still fails says so anew
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
    this.#cancelKeep?.();
    this.#pulls.wakeAll();
    await this.#tap.close();
    await this.#giveBack();
    this.#parts.onClose(this);
  }

  #wanted(): number {
    return (this.#onProbe ? 1 : 0) + this.#pulls.wanted - this.#queue.length;
  }

  #receive(messages: readonly MessageLike[], visibleAt: number): void {
    for (const message of messages) {
      const lease = new SqsLease(this.#leaseParts, message, visibleAt);
      if (lease.isProbe) {
        void this.#drop(lease);
        const onProbe = this.#onProbe;
        this.#onProbe = undefined; // nothing more is asked for
        onProbe?.();
      } else this.#queue.push(lease);
    }
    if (this.#pulls.size > 0 && this.#queue.length > 0) this.#pulls.wakeAll();
    else this.#restSoon();
  }

  #take(max: number): SqsLease[] {
    const taken: SqsLease[] = [];
    while (taken.length < max && this.#queue.length > 0) {
      const lease = this.#queue.shift()!;
      if (lease.isLost) continue;
      if (this.#isSuperfluous(lease)) {
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
    this.#cancelKeep?.();
    this.#cancelKeep = undefined;
    this.#tap.ask();
    await woken;
    this.#restSoon();
  }

  /** A copy that was directed here while the event itself still waited. */
  #isSuperfluous({ message, recorded, attempt }: SqsLease): boolean {
    const directedAt = numberAttribute(message, attributeOf.directedAt);
    const id = recorded.event?.id;
    if (directedAt === undefined || id === undefined) return false;
    // One that has come back was handed out before, and that is what is remembered.
    if (attempt !== (numberAttribute(message, attributeOf.attempt) ?? 1)) return false;
    return this.#recent.wasHandedAfter(id, directedAt);
  }

  #restSoon(): void {
    if (this.#closing || this.#pulls.size > 0 || this.#onProbe) return;
    const { clock } = this.#parts.session.settings;
    this.#cancelKeep ??= clock.after(keepMs, () => void this.#rest(), { background: true });
  }

  async #rest(): Promise<void> {
    this.#cancelKeep = undefined;
    if (this.#pulls.size > 0) return;
    await this.#tap.rest();
    if (this.#pulls.size === 0) await this.#giveBack();
  }

  async #giveBack(): Promise<void> {
    await Promise.all(this.#queue.splice(0).map((lease) => this.#release(lease)));
  }

  async #release(lease: SqsLease): Promise<void> {
    try {
      await lease.settle({ kind: "release" });
    } catch (error) {
      this.#warn("An event could not be given back; it comes again after its lease.", error);
    }
  }

  async #drop(lease: SqsLease): Promise<void> {
    try {
      await lease.settle({ kind: "ack" });
    } catch (error) {
      this.#warn("A superfluous message could not be removed; it comes again.", error);
    }
  }

  #fail(error: unknown): void {
    this.#failure = error;
    this.#pulls.wakeAll();
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
