/**
 * The heartbeat of a process: one write renews all leases of all its agents.
 *
 *   beating ──no write for 4/5 of a lease──▶ fenced ──a write gets through──▶ beating
 *                                              │
 *                                              └─ longer than a lease: evicted, told once
 *
 * The owner knows first when it can no longer renew: after four fifths of the lease without a write
 * it must stop its work, before anybody else may take it over.
 */
import type { SlotWrite } from "../core/commit.ts";
import { isCadreError } from "../core/errors.ts";
import { cardsPerSlot, cardsSlot, pulseSlot, type AgentPart, type Pulse } from "./health/beat.ts";
import type { TeamContext } from "./team-context.ts";

const fenceShare = 0.8; // of the lease; the rest is for stopping the work

/** An agent as its process's heartbeat sees it. */
export interface Beating {
  /** Raised whenever the card has changed. */
  readonly revision: number;
  card(): AgentPart;
}

export interface HeartbeatPort {
  readonly agents: readonly Beating[];
  pulse(): Pulse;
  /** Before each write: what is to be on the cards is decided now. */
  onBeat(): void;
  /** The lease can no longer be counted on: stop everything. */
  onFenced(): void;
  /** A beat got through, the first one or one after trouble. */
  onRenewed(): void;
  /** A beat did not get through: whoever cannot write must not judge others' silence. */
  onMissed(): void;
  /** It got through after so long that others have taken the agents for dead. */
  onEvicted(silentMs: number): void;
}

export class Heartbeat {
  readonly #context: TeamContext;
  readonly #port: HeartbeatPort;
  readonly #process: string;
  /** Sums of revisions, by part, as last written. */
  readonly #written: number[] = [];
  /** Of the pulse's slot. */
  #version = 0;
  /** Monotonic; the lease can be counted on until then. */
  #fenceAt = -Infinity;
  #renewedAt = -Infinity;
  #fenced = false;
  #closed = false;
  #cancelTimer: () => void = () => {};
  #cancelFence: () => void = () => {};
  #beating: Promise<unknown> = Promise.resolve();

  constructor(context: TeamContext, port: HeartbeatPort) {
    this.#context = context;
    this.#port = port;
    this.#process = context.incarnation;
  }

  /**
   * Whether the agents may count on their leases. It is asked by the clock and not only by the
   * timer: in a process that has just thawed, the timer may come after the work.
   */
  get alive(): boolean {
    return !this.#fenced && !this.#closed && this.#isInTime;
  }

  get #isInTime(): boolean {
    return this.#context.clock.monotonic() < this.#fenceAt;
  }

  /** Writes the first beat, then goes on by itself. Rejects when the store refuses the first. */
  async start(): Promise<void> {
    // A process without agents has nothing to say.
    if (this.#port.agents.length === 0) return;
    await this.#next(() => this.#write());
    if (this.#closed) return;
    this.#armFence();
    this.#arm();
  }

  /**
   * A beat at once: what the cards say now is known when it resolves. Rejects as the store does.
   */
  async beat(): Promise<void> {
    await this.#next(() => this.#write());
    if (!this.#closed) this.#armFence();
  }

  /** Stops, and takes the cards away: the agents have left. */
  async close(): Promise<void> {
    if (this.#closed || this.#port.agents.length === 0) return;
    this.#closed = true;
    this.#cancelTimer();
    this.#cancelFence();
    await this.#beating;
    try {
      const count = Math.ceil(this.#port.agents.length / cardsPerSlot);
      const parts = Array.from({ length: count }, (_, index) => cardsSlot(this.#process, index));
      const slots = [pulseSlot(this.#process), ...parts].map((name) => ({
        name,
        expectedVersion: "any" as const,
        value: undefined,
      }));
      await this.#context.store.commit({ slots });
    } catch (error) {
      this.#context.logger.warn("The presence cards could not be taken away.", { error });
    }
  }

  /** One write after the other. */
  #next(write: () => Promise<void>): Promise<void> {
    const next = this.#beating.then(write);
    this.#beating = next.catch(() => undefined);
    return next;
  }

  #arm(): void {
    if (this.#closed) return;
    const { clock, heartbeatMs } = this.#context;
    this.#cancelTimer = clock.after(heartbeatMs, () => {
      void this.#regular().finally(() => this.#arm());
    });
  }

  async #regular(): Promise<void> {
    const { clock, leaseMs, logger } = this.#context;
    const silentMs = clock.monotonic() - this.#renewedAt;
    try {
      await this.#next(() => this.#write());
      if (this.#closed) return;
      this.#armFence();
      if (silentMs > leaseMs) this.#port.onEvicted(silentMs);
      // A write that took longer than the lease has renewed nothing; the next one may.
      if (!this.#isInTime) return;
      this.#fenced = false;
      this.#port.onRenewed();
    } catch (error) {
      if (isCadreError(error, "CLOSED")) return;
      this.#port.onMissed();
      logger.warn("A heartbeat could not be written.", { process: this.#process, error });
    }
  }

  async #write(): Promise<void> {
    if (this.#closed) return;
    this.#port.onBeat();
    // The lease counts from before the write: the observer may see it at once.
    const startedAt = this.#context.clock.monotonic();
    try {
      await this.#commit();
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
      await this.#resync();
      await this.#commit();
    }
    this.#renewedAt = startedAt;
    this.#fenceAt = startedAt + this.#context.leaseMs * fenceShare;
  }

  async #commit(): Promise<void> {
    const { agents } = this.#port;
    const sums: number[] = [];
    const slots: SlotWrite[] = [
      {
        name: pulseSlot(this.#process),
        expectedVersion: this.#version,
        value: JSON.stringify(this.#port.pulse()),
      },
    ];
    for (let part = 0; part * cardsPerSlot < agents.length; part += 1) {
      const end = Math.min(agents.length, (part + 1) * cardsPerSlot);
      let sum = 0;
      for (let at = part * cardsPerSlot; at < end; at += 1) sum += agents[at]!.revision;
      sums.push(sum);
      if (this.#written[part] === sum) continue;
      const cards = agents.slice(part * cardsPerSlot, end).map((agent) => agent.card());
      const name = cardsSlot(this.#process, part);
      slots.push({ name, expectedVersion: "any", value: JSON.stringify(cards) });
    }
    await this.#context.store.commit({ slots });
    this.#version += 1;
    this.#written.splice(0, Infinity, ...sums);
  }

  /** The answer to a beat was lost, or the cards were taken away from a process thought dead. */
  async #resync(): Promise<void> {
    const slot = await this.#context.store.slot(pulseSlot(this.#process));
    this.#version = slot?.version ?? 0;
    this.#written.fill(NaN);
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
