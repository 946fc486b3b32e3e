import { BroadcastLease } from "../../bus/broadcast-lease.ts";
import type { Intake, Lease, Recorded } from "../../bus/transport.ts";
import { readPage } from "./log-page.ts";
import type { Session } from "./session.ts";
import type { Wanted } from "./topics.ts";
import type { Change, Wake } from "./wake.ts";
import { toRecorded } from "./wire.ts";

export interface BroadcastParts {
  readonly session: Session;
  readonly wake: Wake;
  readonly wanted: Wanted;
  /** The id after which it begins. */
  readonly after: string;
  /** Most events that are held until their time. */
  readonly maxQueued: number;
  readonly onClose: (intake: BroadcastIntake) => void;
}

const mostRead = 256; // events in one page

/**
 * A broadcast: the tails of its streams from a fixed position. The log is the queue, so a slow
 * reader misses nothing but what was trimmed. What has a time to come is held here until then.
 */
export class BroadcastIntake implements Intake {
  readonly #parts: BroadcastParts;
  readonly #wakes = new Set<() => void>();
  readonly #endListening: () => void;
  #after: string;
  /** By their time. */
  #held: { readonly dueAt: number; readonly recorded: Recorded }[] = [];
  #missed = 0;
  /** Something may have come since the last look. */
  #isFresh = true;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: BroadcastParts) {
    this.#parts = parts;
    this.#after = parts.after;
    this.#endListening = parts.wake.listen((change) => {
      if (this.#concerns(change)) this.#wakeAll();
    });
  }

  /** One after the other: each goes on where the one before has ended. */
  pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    const pulled = this.#turn.then(() => this.#pull(max, signal));
    this.#turn = pulled.catch(() => {});
    return pulled;
  }

  missed(): number {
    const missed = this.#missed;
    this.#missed = 0;
    return missed;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#endListening();
      this.#wakeAll();
      this.#parts.onClose(this);
    }
    return Promise.resolve();
  }

  async #pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    const { session, wanted } = this.#parts;
    while (!this.#closed && !signal.aborted && max >= 1) {
      const due = this.#takeDue(max);
      if (due.length > 0) return due;
      if (!this.#isFresh) {
        await this.#change(signal);
        continue;
      }
      this.#isFresh = false;
      const count = Math.min(max, mostRead);
      const page = await this.#look(() => readPage(session, { wanted, from: this.#after, count }));
      if (page.more) this.#isFresh = true;
      if (this.#closed || signal.aborted) {
        this.#isFresh = true; // what was read is read again
        break;
      }
      this.#after = page.reached;
      const leases: Lease[] = [];
      for (const { id, bytes } of page.entries) {
        const recorded = toRecorded(id, bytes, session.settings.wire);
        if (!this.#hold(recorded)) leases.push(new BroadcastLease(recorded));
      }
      if (leases.length > 0) return leases;
    }
    return [];
  }

  /** False where its time has come. */
  #hold(recorded: Recorded): boolean {
    const { session, maxQueued } = this.#parts;
    const dueAt = recorded.event?.metadata.deliverAt ?? 0;
    if (dueAt <= session.settings.clock.now()) return false;
    if (this.#held.length >= maxQueued) {
      this.#missed += 1;
      return true;
    }
    const at = this.#held.findIndex((other) => other.dueAt > dueAt);
    this.#held.splice(at === -1 ? this.#held.length : at, 0, { dueAt, recorded });
    return true;
  }

  #takeDue(max: number): readonly Lease[] {
    const now = this.#parts.session.settings.clock.now();
    const due: Lease[] = [];
    while (due.length < max && this.#held[0] && this.#held[0].dueAt <= now) {
      due.push(new BroadcastLease(this.#held.shift()!.recorded));
    }
    return due;
  }

  async #look<Result>(read: () => Promise<Result>): Promise<Result> {
    try {
      return await this.#parts.session.patiently(read, () => !this.#closed);
    } catch (error) {
      this.#isFresh = true;
      throw error;
    }
  }

  #concerns(change: Change | undefined): boolean {
    if (!change) return true;
    const { domains } = this.#parts.wanted;
    return change.domain !== undefined && (!domains || domains.includes(change.domain));
  }

  #wakeAll(): void {
    this.#isFresh = true;
    for (const wake of [...this.#wakes]) wake();
  }

  #change(signal: AbortSignal): Promise<void> {
    const { clock, pollMs } = this.#parts.session.settings;
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        this.#wakes.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      const first = this.#held[0];
      const dueInMs = first ? first.dueAt - clock.now() : Infinity;
      const cancel =
        dueInMs < pollMs
          ? clock.after(Math.max(1, dueInMs), wake)
          : clock.after(pollMs, () => {
              this.#isFresh = true; // the poll
              wake();
            });
      this.#wakes.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}
