/**
 * One life of one simulated process.
 *
 *   frozen ◀──pause── alive ──crash at a port call, before it or after its effect──▶ dead
 *      └─────thaw──────▶ ▲ │                                                          │
 *                        │ └──closes in order──▶ left                                 │
 *                        └──── started again, a new life ◀────────────────────────────┘
 *
 * A dead process answers nothing and is answered nothing: its pending calls never return and its
 * timers never fire, exactly as after SIGKILL. What it wrote stays. A frozen one gets its answers,
 * its wakes and its timers when it thaws; what it sent before takes effect meanwhile.
 */
import { CadreError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import type { ClockOwner, SimClock } from "./sim-clock.ts";
import type { Drawn, Fault, FaultKind, FaultPlan, FaultRates } from "./sim-faults.ts";
import type { SimCall, SimDisk } from "./sim-faults.ts";

/** How a life ended. */
export type LifeEnd = "died" | "left";

export interface SimProcessPort {
  readonly name: string;
  readonly life: number;
  readonly clock: SimClock;
  readonly random: Random;
  readonly rates: FaultRates;
  readonly plan: FaultPlan;
  readonly disk: SimDisk;
  onFault(fault: Fault): void;
  onEnd(how: LifeEnd): void;
  onPowerCut(): void;
  onLeave(): void;
  onClockJump(byMs: number): void;
}

/** What goes wrong with one call. */
export interface CallFaults {
  /** Notes that a fault of this kind happens now, if it is due; answers how long it lasts. */
  hit(kind: FaultKind): number | undefined;
}

export const never = <Value>(): Promise<Value> => new Promise(() => {});
/** Calls that change nothing, and are answered at once. What is read comes by and by. */
const questions: ReadonlySet<SimCall> = new Set<SimCall>([
  "store.version",
  "store.head",
  "store.slot",
  "store.slots",
  "store.marked",
]);
const callMs = 5; // the longest delay of a call each way, where none is set
const noFaults: CallFaults = { hit: () => undefined };

export class SimProcess implements ClockOwner {
  readonly #port: SimProcessPort;
  readonly #counts = new Map<SimCall, number>();
  #alive = true;
  #calm = false;
  #frozenUntil = 0;
  #storeCutUntil = 0;
  #busCutUntil = 0;

  constructor(port: SimProcessPort) {
    this.#port = port;
  }

  get name(): string {
    return this.#port.name;
  }

  get life(): number {
    return this.#port.life;
  }

  get random(): Random {
    return this.#port.random;
  }

  /** Virtual milliseconds since the start of the run. */
  get nowMs(): number {
    return this.#port.clock.monotonic();
  }

  get alive(): boolean {
    return this.#alive;
  }

  get frozenMs(): number {
    return Math.max(0, this.#frozenUntil - this.#port.clock.monotonic());
  }

  /** Whether it is neither dead nor frozen. */
  get isRunning(): boolean {
    return this.#alive && this.#frozenUntil <= this.#port.clock.monotonic();
  }

  /** From now on nothing fails, and what has begun to fail ends. */
  calm(): void {
    this.#calm = true;
    this.#storeCutUntil = 0;
    this.#busCutUntil = 0;
  }

  /** It has closed in order. */
  leave(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#port.onEnd("left");
  }

  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#port.onEnd("died");
  }

  timer(): void {
    const faults = this.faults("clock.timer");
    if (faults === noFaults) return;
    if (faults.hit("powerCut") !== undefined) this.#port.onPowerCut();
    else if (faults.hit("crashBefore") !== undefined) this.kill();
    else this.#pause(faults, "pauseBefore");
  }

  /** Counts the call, and says what goes wrong with it. */
  faults(call: SimCall): CallFaults {
    const { plan, clock } = this.#port;
    const nth = (this.#counts.get(call) ?? 0) + 1;
    this.#counts.set(call, nth);
    if (this.#calm || !this.#alive) return noFaults;
    const at = clock.monotonic();
    const place = { process: this.name, life: this.life, call, nth, at };
    const drawn: Drawn = plan.at(place);
    if (drawn.size === 0) return noFaults;
    return {
      hit: (kind) => {
        const ms = drawn.get(kind);
        if (ms === undefined || this.#calm || !this.#alive) return undefined;
        const fault = { ...place, at: clock.monotonic(), kind };
        this.#port.onFault(ms === 0 ? fault : { ...fault, ms });
        return ms;
      },
    };
  }

  /** One call on a port, with all that may go wrong with it. */
  async call<Value>(call: SimCall, effect: (faults: CallFaults) => Promise<Value>): Promise<Value> {
    const { clock, random, rates } = this.#port;
    if (!this.isRunning) await this.here();
    const faults = this.faults(call);
    const quick = faults === noFaults;
    if (!quick) this.#begin(faults);
    const slowMs = faults.hit("slow") ?? 0;
    if (!quick) this.#pause(faults, "pauseBefore");
    if (!this.isRunning) await this.here();
    // A question is on its way once: asked later, or answered later, is all the same to it.
    const delayMs = rates.delayMs ?? callMs;
    const wayThereMs = questions.has(call) ? 0 : random.next() * delayMs;
    if (wayThereMs + slowMs > 0) await clock.sleep(wayThereMs + slowMs);
    if (faults.hit("powerCut") !== undefined) this.#port.onPowerCut();
    else if (faults.hit("crashBefore") !== undefined) this.kill();
    if (!this.#alive) return never();
    if (this.cutMs(call) > 0) return this.#refuse(call, "cut off");
    if (faults.hit("fail") !== undefined) return this.#refuse(call, "nothing happened");
    if (call === "store.commit" || call === "store.restore") await this.#needRoom();
    // A refusal is an answer too: it can get lost, or come too late.
    const answer = await settled(effect(faults));
    if (faults.hit("crashAfter") !== undefined) this.kill();
    if (faults.hit("loseAnswer") !== undefined) return this.#refuse(call, "the answer was lost");
    if (!quick) this.#pause(faults, "pauseAfter");
    if (call !== "store.read") await clock.sleep(random.next() * delayMs);
    if (!this.isRunning) await this.here();
    if ("error" in answer) throw answer.error;
    return answer.value;
  }

  /** Resolves when the process runs: at once, after the thaw, or never. */
  async here(): Promise<void> {
    while (this.#alive && this.frozenMs > 0) await this.#port.clock.sleep(this.frozenMs);
    if (!this.#alive) await never();
  }

  /** Virtual milliseconds for which the process is cut off from what `call` is for. */
  cutMs(call: SimCall): number {
    const until = call.startsWith("store.") ? this.#storeCutUntil : this.#busCutUntil;
    return until - this.#port.clock.monotonic();
  }

  /** Waits as the world does, in virtual milliseconds, and then until the process runs. */
  async wait(ms: number): Promise<void> {
    await this.#port.clock.sleep(ms);
    await this.here();
  }

  /** How long something is on its way to the process, in virtual milliseconds. */
  wayMs(): number {
    return this.#port.random.next() * (this.#port.rates.delayMs ?? callMs);
  }

  /** Freezes the process if that is due. */
  #pause(faults: CallFaults, kind: "pauseBefore" | "pauseAfter"): void {
    this.freeze(faults.hit(kind));
  }

  freeze(ms: number | undefined): void {
    if (ms === undefined) return;
    this.#frozenUntil = Math.max(this.#frozenUntil, this.#port.clock.monotonic() + ms);
  }

  /** Begins what lasts a while. */
  #begin(faults: CallFaults): void {
    const now = this.#port.clock.monotonic();
    const both = faults.hit("partition") ?? 0;
    const store = Math.max(both, faults.hit("partitionStore") ?? 0);
    const bus = Math.max(both, faults.hit("partitionBus") ?? 0);
    this.#storeCutUntil = Math.max(this.#storeCutUntil, now + store);
    this.#busCutUntil = Math.max(this.#busCutUntil, now + bus);
    const full = faults.hit("full");
    if (full !== undefined) this.#port.disk.fullUntil = now + full;
    const jump = faults.hit("clockJump");
    if (jump !== undefined) this.#port.onClockJump(jump);
    if (faults.hit("leave") !== undefined) this.#port.onLeave();
  }

  async #needRoom(): Promise<void> {
    const { clock, disk } = this.#port;
    if (this.#calm || clock.monotonic() >= disk.fullUntil) return;
    await this.here();
    throw new CadreError("STORE_FULL", "Simulated full disk.", { path: "simulated" });
  }

  async #refuse(call: SimCall, reason: string): Promise<never> {
    await this.here();
    throw refusal(call, reason);
  }
}

async function settled<Value>(
  promise: Promise<Value>,
): Promise<{ readonly value: Value } | { readonly error: unknown }> {
  try {
    return { value: await promise };
  } catch (error) {
    return { error };
  }
}

/** What a caller is told whose call failed, or whose answer was lost. */
export function refusal(call: SimCall, reason: string): CadreError {
  return new CadreError("STORE_UNAVAILABLE", `Simulated failure of ${call}: ${reason}.`, {
    path: "simulated",
    reason,
  });
}
