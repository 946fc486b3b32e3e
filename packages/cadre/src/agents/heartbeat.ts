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
  #renewedAt: number;
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
    this.#renewedAt = context.clock.monotonic();
  }

  /** Whether the agent may count on its leases. */
  get alive(): boolean {
    return !this.#fenced && !this.#closed;
  }

  /** Writes the first beat, then goes on by itself. Rejects when the store refuses the first. */
  async start(): Promise<void> {
    await this.#write();
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
      this.#armFence();
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
    this.#renewedAt = startedAt;
  }

  #armFence(): void {
    this.#cancelFence();
    const { clock, leaseMs } = this.#context;
    const leftMs = this.#renewedAt + leaseMs * fenceShare - clock.monotonic();
    this.#cancelFence = clock.after(leftMs, () => {
      this.#fenced = true;
      this.#port.onFenced();
    });
  }
}
