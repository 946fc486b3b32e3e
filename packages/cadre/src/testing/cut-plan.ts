/** The moment at which a fault proxy cuts a connection: when certain bytes pass. */
import { CadreError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";

export interface CutMoment {
  /** Which way the bytes go that are looked at. */
  readonly direction: "toServer" | "toClient";
  /**
   * What has to pass: text or bytes, found also where they lie across two packets, or a predicate
   * over what one packet holds. Every packet, unless given.
   */
  readonly match?: string | Uint8Array | ((bytes: Uint8Array) => boolean);
  /** Bytes that pass in this direction first, on all connections together. @default 0 */
  readonly afterBytes?: number;
  /** One of so many moments is taken, drawn by chance. @default 1 */
  readonly oneIn?: number;
  /**
   * `before`: what matches is not passed on. `after`: its receiver gets it, and its sender never
   * hears of that.
   * @default "before"
   */
  readonly cut?: "before" | "after";
  /** How many connections are cut, each at a moment of its own. @default 1 */
  readonly times?: number;
}

/** A cut that waits for its moment. */
export interface CutWatch {
  /** How many connections have been cut so far. */
  readonly count: number;
  /** Resolves when all its cuts have been made, or when it is cancelled. */
  readonly done: Promise<void>;
  cancel(): void;
}

export class CutPlan implements CutWatch {
  count = 0;
  readonly done: Promise<void>;
  readonly #moment: CutMoment;
  readonly #random: Random;
  readonly #onDone: (plan: CutPlan) => void;
  readonly #pattern: Buffer | undefined;
  /** The last bytes of each pipe, where a pattern may have begun. */
  readonly #tails = new WeakMap<object, Buffer>();
  readonly #resolve: () => void;
  #bytesLeft: number;

  constructor(moment: CutMoment, random: Random, onDone: (plan: CutPlan) => void) {
    this.#moment = moment;
    this.#random = random;
    this.#onDone = onDone;
    this.#bytesLeft = moment.afterBytes ?? 0;
    for (const option of ["oneIn", "times"] as const) assertAtLeastOne(option, moment[option]);
    const { match } = moment;
    if (match !== undefined && typeof match !== "function") {
      this.#pattern = typeof match === "string" ? Buffer.from(match) : Buffer.from(match);
      assertAtLeastOne("match", this.#pattern.length);
    }
    let resolve = (): void => {};
    this.done = new Promise((done) => (resolve = done));
    this.#resolve = resolve;
  }

  /** Whether the receiver gets what was cut at. */
  get passes(): boolean {
    return this.#moment.cut === "after";
  }

  /** How many of `bytes` still pass before the cut; undefined where it is not the moment. */
  look(pipe: object, direction: "toServer" | "toClient", bytes: Buffer): number | undefined {
    if (direction !== this.#moment.direction) return undefined;
    const skipped = Math.min(this.#bytesLeft, bytes.length);
    this.#bytesLeft -= skipped;
    if (skipped === bytes.length) return undefined;
    const found = this.#find(pipe, bytes.subarray(skipped));
    if (found === undefined || !this.#isDrawn()) return undefined;
    this.count += 1;
    if (this.count >= (this.#moment.times ?? 1)) this.cancel();
    return skipped + found;
  }

  cancel(): void {
    this.#onDone(this);
    this.#resolve();
  }

  /** Where to cut in `bytes`, if it may be here. */
  #find(pipe: object, bytes: Buffer): number | undefined {
    const { match } = this.#moment;
    if (this.#pattern === undefined) {
      if (typeof match === "function" && !match(bytes)) return undefined;
      return this.passes ? bytes.length : 0;
    }
    const tail = this.#tails.get(pipe) ?? Buffer.alloc(0);
    const seen = Buffer.concat([tail, bytes]);
    const at = seen.indexOf(this.#pattern);
    if (at === -1) {
      // Copied: a view would keep the whole packet.
      const kept = Math.min(seen.length, this.#pattern.length - 1);
      this.#tails.set(pipe, Buffer.from(seen.subarray(seen.length - kept)));
      return undefined;
    }
    this.#tails.delete(pipe);
    const end = at + (this.passes ? this.#pattern.length : 0) - tail.length;
    return Math.max(0, end);
  }

  #isDrawn(): boolean {
    const { oneIn = 1 } = this.#moment;
    return oneIn === 1 || this.#random.integer(oneIn) === 0;
  }
}

function assertAtLeastOne(option: string, value: number | undefined): void {
  if (value === undefined || value >= 1) return;
  throw new CadreError("INVALID_OPTION", `"${option}" is ${value}. Give at least 1.`, {
    option,
    value: String(value),
  });
}
