/**
 * What can go wrong with a simulated process: how often, or exactly when.
 *
 * Every fault happens at one port call of one life of one process, and is known by that place. What
 * a run drew from its seed can so be played again as a schedule, whole or in part.
 */
import { SeededRandom } from "../core/random.ts";

/** Chances at each port call, 0 to 1. Every chance is 0 unless it is set. */
export interface FaultChances {
  /** The process dies before the call has any effect. */
  readonly crashBefore?: number;
  /** The process dies after the effect, before the answer. */
  readonly crashAfter?: number;
  /** All processes die at once, before the call has any effect. */
  readonly powerCut?: number;
  /** The process begins to close in order; it is started again afterwards. */
  readonly leave?: number;
  /** The effect happens and the caller is told that it failed. */
  readonly loseAnswer?: number;
  /** Nothing happens and the caller is told so. */
  readonly fail?: number;
  /** The process freezes before the call, as after SIGSTOP, and thaws by itself. */
  readonly pauseBefore?: number;
  /** The process freezes after the effect, before the answer. */
  readonly pauseAfter?: number;
  /** The process is cut off from store and bus for a while: all its calls fail. */
  readonly partition?: number;
  /** It is cut off from the store alone. */
  readonly partitionStore?: number;
  /** It is cut off from the bus alone. */
  readonly partitionBus?: number;
  /** The disk is full: commits of all processes are refused for a while. */
  readonly full?: number;
  /** The call takes long. */
  readonly slow?: number;
  /** What the bus hands out is published twice. */
  readonly duplicate?: number;
  /** What the bus hands out arrives late, perhaps after its lease. */
  readonly late?: number;
  /**
   * What the bus hands out at once arrives in another order; never where an order was asked for.
   */
  readonly reorder?: number;
  /** Somebody sets the process's wall clock, by up to `clockSkewMs` either way. */
  readonly clockJump?: number;
}

export type FaultKind = keyof FaultChances;

/** The chances, and how long what they begin lasts at most, in virtual milliseconds. */
export interface FaultRates extends FaultChances {
  /** Longest freeze. Above the lease, others take over meanwhile. @default 40_000 */
  readonly pauseMs?: number;
  /** Longest partition. @default 20_000 */
  readonly partitionMs?: number;
  /** Longest time that the disk is full. @default 10_000 */
  readonly fullMs?: number;
  /** Longest of the slow calls. @default 10_000 */
  readonly slowMs?: number;
  /** Longest lateness of a delivery. @default 40_000 */
  readonly lateMs?: number;
  /** Longest delay of every call, each way. @default 5 */
  readonly delayMs?: number;
  /** Longest wrongness of a process's wall clock, either way. @default 0 */
  readonly clockSkewMs?: number;
  /** Largest share by which a process's clocks run too fast or too slow, below 1. @default 0 */
  readonly clockDrift?: number;
}

/** What the simulated ports are asked for. `clock.timer` is a timer of the process that fires. */
export type SimCall =
  | "store.commit"
  | "store.read"
  | "store.version"
  | "store.head"
  | "store.slot"
  | "store.slots"
  | "store.marked"
  | "store.pruneInbox"
  | "store.inspect"
  | "store.restore"
  | "store.holds"
  | "store.usage"
  | "transport.publish"
  | "transport.open"
  | "intake.pull"
  | "lease.settle"
  | "lease.extend"
  | "clock.timer";

/** A fault that is to happen: at the first call that all of its conditions hold for, and once. */
export interface ScheduledFault {
  readonly kind: FaultKind;
  readonly process: string;
  /** @default any call at which the kind can happen */
  readonly call?: SimCall;
  /** How often the process has been started, from 1. @default any */
  readonly life?: number;
  /** The how-manieth such call of that life, from 1. @default any */
  readonly nth?: number;
  /** Not before so many virtual milliseconds since the start of the run. @default 0 */
  readonly afterMs?: number;
  /** How long it lasts in virtual milliseconds. @default half of the longest */
  readonly ms?: number;
}

/**
 * A fault that has happened. It is a `ScheduledFault` too: played again, it happens there again.
 */
export interface Fault extends Required<Omit<ScheduledFault, "afterMs" | "ms">> {
  /** Virtual milliseconds since the start of the run. */
  readonly at: number;
  readonly ms?: number;
}

/** One call of a process on a port. */
export interface CallPlace {
  readonly process: string;
  readonly life: number;
  readonly call: SimCall;
  readonly nth: number;
  readonly at: number;
}

const anyCall = [
  "store.commit",
  "store.read",
  "store.version",
  "store.head",
  "store.slot",
  "store.slots",
  "store.marked",
  "store.pruneInbox",
  "store.inspect",
  "store.restore",
  "store.holds",
  "store.usage",
  "transport.publish",
  "transport.open",
  "lease.settle",
  "lease.extend",
] as const satisfies readonly SimCall[];
const anyMoment = [...anyCall, "clock.timer"] as const;

/** Where each kind can happen. The order is that in which they are drawn. */
const places: Readonly<Record<FaultKind, readonly SimCall[]>> = {
  crashBefore: anyMoment,
  crashAfter: [...anyCall, "intake.pull"],
  powerCut: anyMoment,
  leave: anyCall,
  loseAnswer: anyCall,
  fail: anyCall,
  pauseBefore: anyMoment,
  pauseAfter: [...anyCall, "intake.pull"],
  partition: anyCall,
  partitionStore: anyCall,
  partitionBus: anyCall,
  full: ["store.commit", "store.restore"],
  slow: anyCall,
  duplicate: ["transport.publish"],
  late: ["intake.pull"],
  reorder: ["intake.pull"],
  clockJump: anyCall,
};

/** Every kind of fault. */
export const faultKinds: readonly FaultKind[] = Object.keys(places) as FaultKind[];

/** How long each kind lasts at most, from the rates; the others are over at once. */
export function longestMs(kind: FaultKind, rates: FaultRates): number | undefined {
  switch (kind) {
    case "pauseBefore":
    case "pauseAfter":
      return rates.pauseMs ?? 40_000;
    case "partition":
    case "partitionStore":
    case "partitionBus":
      return rates.partitionMs ?? 20_000;
    case "full":
      return rates.fullMs ?? 10_000;
    case "slow":
      return rates.slowMs ?? 10_000;
    case "late":
      return rates.lateMs ?? 40_000;
    default:
      return undefined;
  }
}

/** The kinds of faults that are due at a call, each with its time or, for a clock, its step. */
export type Drawn = ReadonlyMap<FaultKind, number>;
const nothing: Drawn = new Map();

/** @param chance 0 to 1 */
function drawMs(kind: FaultKind, rates: FaultRates, chance: number): number {
  if (kind === "clockJump") return Math.round((2 * chance - 1) * (rates.clockSkewMs ?? 0));
  return chance * (longestMs(kind, rates) ?? 0);
}

/** Decides what goes wrong at the calls of one life of one process. */
export class FaultPlan {
  readonly #rates: FaultRates;
  readonly #random: SeededRandom;
  readonly #drawn = new Map<SimCall, readonly (readonly [FaultKind, number])[]>();
  readonly #pending: ScheduledFault[];

  /** @param pending what is scheduled for this process in any life; what happens is taken out */
  constructor(rates: FaultRates, random: SeededRandom, pending: ScheduledFault[]) {
    this.#rates = rates;
    this.#random = random;
    this.#pending = pending;
  }

  at(place: CallPlace): Drawn {
    let drawn: Map<FaultKind, number> | undefined;
    for (const [kind, rate] of this.#chances(place.call)) {
      if (this.#random.next() >= rate) continue;
      (drawn ??= new Map()).set(kind, drawMs(kind, this.#rates, this.#random.next()));
    }
    for (let index = this.#pending.length - 1; index >= 0; index -= 1) {
      const fault = this.#pending[index]!;
      if (!isDue(fault, place)) continue;
      this.#pending.splice(index, 1);
      const ms = fault.ms ?? (longestMs(fault.kind, this.#rates) ?? 0) / 2;
      (drawn ??= new Map()).set(fault.kind, ms);
    }
    return drawn ?? nothing;
  }

  /** The kinds that can happen at `call` and have a chance to. */
  #chances(call: SimCall): readonly (readonly [FaultKind, number])[] {
    let chances = this.#drawn.get(call);
    if (!chances) {
      chances = faultKinds
        .filter((kind) => (this.#rates[kind] ?? 0) > 0 && places[kind].includes(call))
        .map((kind) => [kind, this.#rates[kind] ?? 0] as const);
      this.#drawn.set(call, chances);
    }
    return chances;
  }
}

function isDue(fault: ScheduledFault, place: CallPlace): boolean {
  return (
    (fault.call ?? place.call) === place.call &&
    (fault.life ?? place.life) === place.life &&
    (fault.nth ?? place.nth) === place.nth &&
    place.at >= (fault.afterMs ?? 0) &&
    places[fault.kind].includes(place.call)
  );
}

/**
 * Everything goes wrong, in nearly every run: what Cadre's own scenarios are run with. Two or three
 * processes die in a run of a minute.
 */
export const everyFault: FaultRates = {
  crashBefore: 0.002,
  crashAfter: 0.003,
  powerCut: 0.0003,
  leave: 0.003,
  loseAnswer: 0.01,
  fail: 0.01,
  pauseBefore: 0.001,
  pauseAfter: 0.002,
  partition: 0.001,
  partitionStore: 0.001,
  partitionBus: 0.001,
  full: 0.003,
  slow: 0.005,
  duplicate: 0.1,
  late: 0.02,
  reorder: 0.3,
  clockJump: 0.002,
  clockSkewMs: 60_000,
  clockDrift: 0.01,
};

/** The disk under the store, which all processes share. */
export interface SimDisk {
  /** Virtual milliseconds since the start. */
  fullUntil: number;
}
