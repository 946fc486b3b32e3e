/**
 * One direction of one connection through a fault proxy.
 *
 *   from ─▶ a moment to cut at? ─▶ queue (late, slow, stalled) ─▶ to
 *                  │                     full: `from` is not read
 *                  └─ the connection ends
 *
 * A pipe that is deaf reads on and passes nothing, for ever. What is passed on is never reordered.
 */
import type { Socket } from "node:net";
import type { Clock } from "../core/clock.ts";
import type { CutPlan } from "./cut-plan.ts";

/** What all pipes of a proxy share, and its methods change. */
export interface PipeWeather {
  readonly clock: Clock;
  readonly plans: Set<CutPlan>;
  frozen: "drop" | "stall" | undefined;
  latencyMs: number;
  /** Infinity is no limit. */
  bytesPerSecond: number;
}

export interface PipeEnds {
  readonly direction: "toServer" | "toClient";
  readonly from: Socket;
  readonly to: Socket;
  /** Ends the connection; `passed` is true when the receiver still gets what was written. */
  readonly cut: (options: { readonly passed: boolean }) => void;
}

const maxQueuedBytes = 1_048_576; // then the sender feels it, as it would on a full line
const piecesPerSecond = 20; // a slow line delivers in such pieces, not in one at the end

export class FaultPipe {
  /** Bytes that were handed to the receiver. */
  passedBytes = 0;
  readonly #ends: PipeEnds;
  readonly #weather: PipeWeather;
  #queue: { readonly dueAt: number; readonly bytes: Buffer }[] = [];
  #queuedBytes = 0;
  #freeAt = 0; // when the slow line takes its next piece
  #isDeaf: boolean;
  #hasEnded = false;
  #isBlocked = false; // the receiver takes no more for now
  #cancelTimer: (() => void) | undefined;

  constructor(ends: PipeEnds, weather: PipeWeather) {
    this.#ends = ends;
    this.#weather = weather;
    this.#isDeaf = weather.frozen === "drop";
    ends.from.on("data", (bytes: Buffer) => this.#take(bytes));
    ends.from.on("end", () => this.#end());
    ends.to.on("drain", () => {
      this.#isBlocked = false;
      this.pump();
    });
  }

  /** Passes nothing on from now on, whatever becomes of the weather. */
  deafen(): void {
    this.#isDeaf = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#ends.from.resume();
  }

  get isDeaf(): boolean {
    return this.#isDeaf;
  }

  /** Hands over what is due; called anew when the weather has changed. */
  pump(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    while (this.#queue.length > 0 && !this.#isBlocked && !this.#isStalled) {
      const waitMs = this.#waitMs();
      if (waitMs > 0) {
        this.#cancelTimer = this.#weather.clock.after(waitMs, () => this.pump());
        return;
      }
      this.#write(this.#nextPiece());
    }
    if (this.#queuedBytes < maxQueuedBytes && !this.#isBlocked) this.#ends.from.resume();
    if (this.#hasEnded && this.#queue.length === 0 && !this.#isStalled) this.#ends.to.end();
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#queue = [];
  }

  get #isStalled(): boolean {
    return this.#weather.frozen === "stall";
  }

  #take(bytes: Buffer): void {
    if (this.#isDeaf) return;
    for (const plan of this.#weather.plans) {
      const at = plan.look(this, this.#ends.direction, bytes);
      if (at === undefined) continue;
      // What was queued is let go at once: the moment is what counts, not the delay before it.
      for (const { bytes: earlier } of this.#queue) this.#write(earlier);
      this.#queue = [];
      if (at > 0) this.#write(bytes.subarray(0, at));
      this.#ends.cut({ passed: plan.passes });
      return;
    }
    this.#enqueue(bytes);
    this.pump();
  }

  #enqueue(bytes: Buffer): void {
    const { clock, latencyMs } = this.#weather;
    this.#queue.push({ dueAt: clock.monotonic() + latencyMs, bytes });
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes >= maxQueuedBytes) this.#ends.from.pause();
  }

  #waitMs(): number {
    // Sooner than it was due when the weather has cleared up.
    const dueAt = this.#weather.latencyMs === 0 ? 0 : this.#queue[0]!.dueAt;
    const freeAt = Number.isFinite(this.#weather.bytesPerSecond) ? this.#freeAt : 0;
    return Math.max(dueAt, freeAt) - this.#weather.clock.monotonic();
  }

  #nextPiece(): Buffer {
    const { bytesPerSecond, clock } = this.#weather;
    const [{ dueAt, bytes }] = this.#queue as [{ dueAt: number; bytes: Buffer }];
    const most = Math.ceil(bytesPerSecond / piecesPerSecond);
    const piece = bytes.length > most ? bytes.subarray(0, most) : bytes;
    if (piece.length < bytes.length) this.#queue[0] = { dueAt, bytes: bytes.subarray(most) };
    else this.#queue.shift();
    this.#queuedBytes -= piece.length;
    this.#freeAt = clock.monotonic() + (piece.length / bytesPerSecond) * 1_000;
    return piece;
  }

  #write(bytes: Buffer): void {
    if (this.#ends.to.destroyed || this.#ends.to.writableEnded) return;
    this.passedBytes += bytes.length;
    if (this.#ends.to.write(bytes)) return;
    this.#isBlocked = true;
    this.#ends.from.pause();
  }

  #end(): void {
    if (this.#isDeaf) {
      this.#ends.from.destroy(); // and the other side never hears of it
      return;
    }
    this.#hasEnded = true;
    this.pump();
  }
}
