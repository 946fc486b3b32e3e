/**
 * The heartbeat of one agent: writes its card to its presence slot, which renews all leases that it
 * holds.
 *
 * The owner knows first when it can no longer renew: after four fifths of the lease without a write
 * it must stop its work, before anybody else may take it over.
 */
import { isCadreError } from "../core/errors.ts";
import type { AgentCard } from "./directory.ts";
import { presenceSlot } from "./presence.ts";
import type { TeamContext } from "./team-context.ts";

const fenceShare = 0.8; // of the lease; the rest is for stopping the work

export interface HeartbeatPort {
  card(): AgentCard;
  /** The lease can no longer be counted on: stop everything. */
  onFenced(): void;
  /** A beat got through, the first one or one after trouble. */
  onRenewed(): void;
}

export class Heartbeat {
  readonly #context: TeamContext;
  readonly #port: HeartbeatPort;
  readonly #name: string;
  /** Monotonic; the lease can be counted on until then. */
  #fenceAt = -Infinity;
  #fenced = false;
  #closed = false;
  #cancelTimer: () => void = () => {};
  #cancelFence: () => void = () => {};
  #beating: Promise<void> = Promise.resolve();

  constructor(context: TeamContext, port: HeartbeatPort) {
    this.#context = context;
    this.#port = port;
    const { agent, incarnation } = port.card();
    this.#name = presenceSlot(agent, incarnation);
  }

  /**
   * Whether the agent may count on its leases. It is asked by the clock and not only by the timer:
   * in a process that has just thawed, the timer may come after the work.
   */
  get alive(): boolean {
    return !this.#fenced && !this.#closed && this.#isInTime;
  }

  get #isInTime(): boolean {
    return this.#context.clock.monotonic() < this.#fenceAt;
  }

  /** Writes the first beat, then goes on by itself. Rejects when the store refuses the first. */
  async start(): Promise<void> {
    const first = this.#write();
    this.#beating = first.catch(() => undefined);
    await first;
    if (this.#closed) return;
    this.#armFence();
    this.#arm();
  }

  /** Stops, and takes the card away: the agent has left. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    this.#cancelFence();
    await this.#beating;
    try {
      const slots = [{ name: this.#name, expectedVersion: "any" as const, value: undefined }];
      await this.#context.store.commit({ slots });
    } catch (error) {
      this.#context.logger.warn("The presence card could not be taken away.", { error });
    }
  }

  #arm(): void {
    if (this.#closed) return;
    const { clock, heartbeatMs } = this.#context;
    this.#cancelTimer = clock.after(heartbeatMs, () => {
      this.#beating = this.#beat().finally(() => this.#arm());
    });
  }

  async #beat(): Promise<void> {
    try {
      await this.#write();
      if (this.#closed) return;
      this.#armFence();
      // A write that took longer than the lease has renewed nothing; the next one may.
      if (!this.#isInTime) return;
      this.#fenced = false;
      this.#port.onRenewed();
    } catch (error) {
      if (isCadreError(error, "CLOSED")) return;
      this.#context.logger.warn("A heartbeat could not be written.", { slot: this.#name, error });
    }
  }

  async #write(): Promise<void> {
    // The lease counts from before the write: the observer may see it at once.
    const startedAt = this.#context.clock.monotonic();
    const value = JSON.stringify(this.#port.card());
    await this.#context.store.commit({
      slots: [{ name: this.#name, expectedVersion: "any", value }],
    });
    this.#fenceAt = startedAt + this.#context.leaseMs * fenceShare;
  }

  #armFence(): void {
    this.#cancelFence();
    const { clock } = this.#context;
    this.#cancelFence = clock.after(this.#fenceAt - clock.monotonic(), () => {
      this.#fenced = true;
      this.#port.onFenced();
    });
  }
}
