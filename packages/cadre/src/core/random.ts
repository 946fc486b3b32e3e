import { randomFillSync } from "node:crypto";

/**
 * The one source of chance. Everything that draws takes a `Random`, so that a run can be repeated
 * from its seed.
 */
export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** An integer in [0, below). `below` is at most 2^32. */
  integer(below: number): number;
  /**
   * A UUIDv7 (RFC 9562, section 5.7): unique, and sorts by time. Ids of one `Random` strictly
   * increase, also within one millisecond and when the clock goes back.
   * @param now Unix milliseconds
   */
  id(now: number): string;
}

const poolWords = 1_024; // one system call for about 500 ids
const dash = 0x2d;
/** The character codes of the hexadecimal digits. */
const digits = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));

/**
 * UUIDv7 over any source of 32-bit words. `rand_a` is a counter: ids of one millisecond keep their
 * order (method 1).
 */
class IdMaker {
  readonly #word: () => number;
  #millisecond = -1;
  #counter = 0;
  #prefix = "";

  constructor(word: () => number) {
    this.#word = word;
  }

  make(now: number): string {
    if (now > this.#millisecond) this.#enter(Math.floor(now));
    else if (++this.#counter > 0xfff) this.#enter(this.#millisecond + 1);
    const counter = this.#counter;
    const high = this.#word();
    const low = this.#word();
    // One call with all the digits: joining them two by two takes three times as long, and leaves
    // a string that its first reader must flatten.
    return (
      this.#prefix +
      String.fromCharCode(
        digits[(counter >>> 8) & 0xf]!,
        digits[(counter >>> 4) & 0xf]!,
        digits[counter & 0xf]!,
        dash,
        digits[((high >>> 28) & 0x3) | 0x8]!,
        digits[(high >>> 24) & 0xf]!,
        digits[(high >>> 20) & 0xf]!,
        digits[(high >>> 16) & 0xf]!,
        dash,
        digits[(high >>> 12) & 0xf]!,
        digits[(high >>> 8) & 0xf]!,
        digits[(high >>> 4) & 0xf]!,
        digits[high & 0xf]!,
        digits[(low >>> 28) & 0xf]!,
        digits[(low >>> 24) & 0xf]!,
        digits[(low >>> 20) & 0xf]!,
        digits[(low >>> 16) & 0xf]!,
        digits[(low >>> 12) & 0xf]!,
        digits[(low >>> 8) & 0xf]!,
        digits[(low >>> 4) & 0xf]!,
        digits[low & 0xf]!,
      )
    );
  }

  #enter(millisecond: number): void {
    this.#millisecond = millisecond;
    // the top bit stays free: room for 2,048 more in this millisecond
    this.#counter = this.#word() & 0x7ff;
    const hex = millisecond.toString(16).padStart(12, "0");
    this.#prefix = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7`;
  }
}

class SecureRandom implements Random {
  readonly #pool = new Uint32Array(poolWords);
  #next = poolWords;
  readonly #ids = new IdMaker(() => this.#word());

  next(): number {
    return this.#word() / 2 ** 32;
  }

  integer(below: number): number {
    return Math.floor(this.next() * below);
  }

  id(now: number): string {
    return this.#ids.make(now);
  }

  #word(): number {
    if (this.#next === poolWords) {
      randomFillSync(this.#pool);
      this.#next = 0;
    }
    return this.#pool[this.#next++]!;
  }
}

/** Chance from the operating system's cryptographic source. */
export const secureRandom: Random = new SecureRandom();

/** Chance that repeats: equal seeds give equal draws (splitmix32). Not for secrets. */
export class SeededRandom implements Random {
  #state: number;
  readonly #ids = new IdMaker(() => this.#word());

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    return this.#word() / 2 ** 32;
  }

  integer(below: number): number {
    return Math.floor(this.next() * below);
  }

  id(now: number): string {
    return this.#ids.make(now);
  }

  /**
   * A generator of its own for one part of a run, so that draws of one part do not shift another's.
   */
  fork(label: string): SeededRandom {
    let seed = this.#state ^ 0x9e3779b9;
    for (let index = 0; index < label.length; index += 1) {
      seed = Math.imul(seed ^ label.charCodeAt(index), 0x01000193);
    }
    return new SeededRandom(seed);
  }

  #word(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }
}
