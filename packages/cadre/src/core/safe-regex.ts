/**
 * Regular expressions that take time proportional to the text, whatever the pattern: for patterns
 * from outside the program.
 *
 * The pattern is compiled to a small automaton, and all its states are followed at once while the
 * text is read one time. There is no backtracking, so there is no pattern that is slow. What needs
 * backtracking is refused: references to groups, look-ahead and look-behind. There is
 *
 *   literals  .  [a-z] [^…]  \d \w \s \D \W \S  \t \n \r \f \v \0 \xHH \uHHHH
 *   \b \B  ^ $  (…) (?:…)  |  * + ? {n} {n,} {n,m}
 *
 * (lazy forms too, which make no difference to whether a text matches). Flags: i, m, s. Characters
 * are code points.
 */

/** Longest pattern, in UTF-16 units. */
export const maxRegexLength = 256;
/** States after `{n,m}` is written out: with the text's limit, what one test can cost. */
export const maxRegexStates = 512;
/** Longest text, in UTF-16 units. A longer one is not searched and does not match. */
export const maxRegexText = 16_384;
const maxNesting = 16; // groups in groups; bounds the recursion of the parser

type CharacterTest = (code: number) => boolean;

/** `next` twice is a fork; without `test` and `assert` the step takes no character. */
interface State {
  readonly test?: CharacterTest;
  readonly assert?: "start" | "end" | "boundary" | "inside";
  next: number;
  other: number;
}

type Piece =
  | { readonly kind: "character"; readonly test: CharacterTest }
  | { readonly kind: "assert"; readonly assert: NonNullable<State["assert"]> }
  | { readonly kind: "sequence" | "choice"; readonly parts: readonly Piece[] }
  | { readonly kind: "repeat"; readonly part: Piece; readonly min: number; readonly max: number };

/**
 * Compiles a pattern to a test that says whether some part of a text matches.
 *
 * @throws {Error} with what is wrong with the pattern as its message
 */
export function compileSafeRegex(source: string, flags: string): (text: string) => boolean {
  if (source.length > maxRegexLength) throw new Error(`it is longer than ${maxRegexLength}`);
  const piece = new RegexParser(source, flags).parse();
  const states: State[] = [{ next: -1, other: -1 }];
  const start = build({ states, steps: 0 }, piece, 0);
  const multiline = flags.includes("m");
  return (text) => text.length <= maxRegexText && run(states, start, text, multiline);
}

/**
 * Appends the states of a piece that goes on to `next`, from its end to its beginning; state 0 is
 * the match.
 */
function build(plan: { states: State[]; steps: number }, piece: Piece, next: number): number {
  const { states } = plan;
  // Empty groups make no states, but `(()){9}{9}…` written out would still take for ever.
  if (++plan.steps > 4 * maxRegexStates) throw new Error("it is too long when {n} is written out");
  const add = (state: State): number => {
    if (states.length >= maxRegexStates)
      throw new Error(`it takes more than ${maxRegexStates} states`);
    return states.push(state) - 1;
  };
  switch (piece.kind) {
    case "character":
      return add({ test: piece.test, next, other: -1 });
    case "assert":
      return add({ assert: piece.assert, next, other: -1 });
    case "sequence":
      return piece.parts.reduceRight((after, part) => build(plan, part, after), next);
    case "choice":
      return piece.parts
        .map((part) => build(plan, part, next))
        .reduceRight((other, first) => add({ next: first, other }));
    case "repeat":
      break;
  }
  let after = next;
  if (piece.max === Infinity) {
    const loop = add({ next: -1, other: next });
    (states[loop] as State).next = build(plan, piece.part, loop);
    after = loop;
  } else {
    for (let i = piece.min; i < piece.max; i++) {
      after = add({ next: build(plan, piece.part, after), other: next });
    }
  }
  for (let i = 0; i < piece.min; i++) after = build(plan, piece.part, after);
  return after;
}

function run(states: readonly State[], start: number, text: string, multiline: boolean): boolean {
  const entered = new Int32Array(states.length).fill(-1);
  let current: number[] = [];
  let following: number[] = [];
  const pending: number[] = [];
  const enter = (into: number[], state: number, at: number): boolean => {
    pending.push(state);
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      if (id === 0) {
        pending.length = 0;
        return true;
      }
      if (id === -1 || entered[id] === at) continue;
      entered[id] = at;
      const { test, assert, next, other } = states[id] as State;
      if (test !== undefined) into.push(id);
      else if (assert === undefined) pending.push(next, other);
      else if (holds(assert, text, at, multiline)) pending.push(next);
    }
    return false;
  };
  for (let at = 0; ;) {
    if (enter(current, start, at)) return true;
    if (at >= text.length) return false;
    const code = text.codePointAt(at) as number;
    at += code > 0xffff ? 2 : 1;
    for (const id of current) {
      const state = states[id] as State;
      if (state.test?.(code) === true && enter(following, state.next, at)) return true;
    }
    [current, following] = [following, current];
    following.length = 0;
  }
}

function holds(assert: State["assert"], text: string, at: number, multiline: boolean): boolean {
  switch (assert) {
    case "start":
      return at === 0 || (multiline && text[at - 1] === "\n");
    case "end":
      // As in MongoDB, `$` also stands in front of a line break that ends the text.
      return at === text.length || (text[at] === "\n" && (multiline || at === text.length - 1));
    default:
      return (
        (isWord(text.charCodeAt(at - 1)) !== isWord(text.charCodeAt(at))) ===
        (assert === "boundary")
      );
  }
}

function isWord(code: number): boolean {
  return isDigit(code) || (code >= 65 && code <= 90) || code === 95 || (code >= 97 && code <= 122);
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13);
}

const classes: Readonly<Record<string, CharacterTest>> = {
  d: isDigit,
  w: isWord,
  s: isSpace,
  D: (code) => !isDigit(code),
  W: (code) => !isWord(code),
  S: (code) => !isSpace(code),
};

const controls: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, 0: 0 };

class RegexParser {
  readonly #characters: readonly string[];
  readonly #ignoreCase: boolean;
  readonly #dotAll: boolean;
  #at = 0;
  #nesting = 0;

  constructor(source: string, flags: string) {
    this.#characters = Array.from(source);
    this.#ignoreCase = flags.includes("i");
    this.#dotAll = flags.includes("s");
  }

  parse(): Piece {
    const piece = this.#choice();
    if (this.#peek() !== undefined) throw new Error("it has a ) without a (");
    return piece;
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(wanted: string): boolean {
    if (this.#peek() !== wanted) return false;
    this.#at++;
    return true;
  }

  #choice(): Piece {
    if (++this.#nesting > maxNesting) throw new Error(`its groups nest deeper than ${maxNesting}`);
    const parts = [this.#sequence()];
    while (this.#take("|")) parts.push(this.#sequence());
    this.#nesting--;
    return { kind: "choice", parts };
  }

  #sequence(): Piece {
    const parts: Piece[] = [];
    for (;;) {
      const next = this.#peek();
      if (next === undefined || next === "|" || next === ")") return { kind: "sequence", parts };
      parts.push(this.#repeat(this.#atom()));
    }
  }

  #repeat(part: Piece): Piece {
    const counted = this.#counts();
    if (counted === undefined) return part;
    if (part.kind === "assert") throw new Error("it repeats a place that takes no character");
    this.#take("?");
    if (this.#counts() !== undefined || this.#peek() === "+") {
      throw new Error("it has a quantifier right after a quantifier");
    }
    return { kind: "repeat", part, ...counted };
  }

  #counts(): { min: number; max: number } | undefined {
    if (this.#take("*")) return { min: 0, max: Infinity };
    if (this.#take("+")) return { min: 1, max: Infinity };
    if (this.#take("?")) return { min: 0, max: 1 };
    if (this.#peek() !== "{") return undefined;
    const text = this.#characters.slice(this.#at, this.#at + 12).join("");
    const found = /^\{(\d{1,4})(,(\d{1,4})?)?\}/.exec(text);
    if (found === null) return undefined;
    this.#at += found[0].length;
    const min = Number(found[1]);
    const max = found[2] === undefined ? min : found[3] === undefined ? Infinity : Number(found[3]);
    if (max < min) throw new Error("it has a {n,m} with m below n");
    return { min, max };
  }

  #atom(): Piece {
    const character = this.#characters[this.#at++] as string;
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return { kind: "character", test: this.#set() };
      case ".":
        return { kind: "character", test: this.#dotAll ? () => true : (code) => code !== 10 };
      case "^":
        return { kind: "assert", assert: "start" };
      case "$":
        return { kind: "assert", assert: "end" };
      case "\\":
        return this.#escape();
      case "*":
      case "+":
      case "?":
        throw new Error("it has a quantifier with nothing in front");
      default:
        return { kind: "character", test: this.#literal(character.codePointAt(0) as number) };
    }
  }

  #group(): Piece {
    if (this.#take("?") && !this.#take(":")) {
      throw new Error("look-ahead, look-behind, named groups and inline flags are not supported");
    }
    const piece = this.#choice();
    if (!this.#take(")")) throw new Error("it has a ( without a )");
    return piece;
  }

  #escape(): Piece {
    const character = this.#peek();
    if (character === "b" || character === "B") {
      this.#at++;
      return { kind: "assert", assert: character === "b" ? "boundary" : "inside" };
    }
    const escaped = this.#escaped();
    const test = typeof escaped === "number" ? this.#literal(escaped) : escaped;
    return { kind: "character", test };
  }

  /** What stands after a backslash: one character, or a class of them. */
  #escaped(): number | CharacterTest {
    const character = this.#characters[this.#at++];
    if (character === undefined) throw new Error("it ends with a backslash");
    const named = Object.hasOwn(classes, character) ? classes[character] : undefined;
    if (named !== undefined) return named;
    if (Object.hasOwn(controls, character)) return controls[character] as number;
    if (character === "x" || character === "u") return this.#hex(character === "x" ? 2 : 4);
    if (/[A-Za-z1-9]/.test(character)) {
      throw new Error(`\\${character} is not supported`);
    }
    return character.codePointAt(0) as number;
  }

  #hex(digits: number): number {
    const text = this.#characters.slice(this.#at, this.#at + digits).join("");
    if (text.length !== digits || !/^[0-9a-fA-F]+$/.test(text)) {
      throw new Error(`\\x and \\u take 2 and 4 hexadecimal digits`);
    }
    this.#at += digits;
    return Number.parseInt(text, 16);
  }

  #set(): CharacterTest {
    const negated = this.#take("^");
    const tests: CharacterTest[] = [];
    for (let first = true; first || this.#peek() !== "]"; first = false) {
      const low = this.#setItem();
      if (this.#peek() !== "-" || [undefined, "]"].includes(this.#characters[this.#at + 1])) {
        tests.push(typeof low === "number" ? this.#literal(low) : low);
        continue;
      }
      this.#at++;
      const high = this.#setItem();
      if (typeof low !== "number" || typeof high !== "number" || high < low) {
        throw new Error("it has a range in [] whose ends are out of order or no characters");
      }
      tests.push(this.#range(low, high));
    }
    this.#at++;
    return (code) => tests.some((test) => test(code)) !== negated;
  }

  #setItem(): number | CharacterTest {
    const character = this.#characters[this.#at++];
    if (character === undefined) throw new Error("it has a [ without a ]");
    if (character === "\\") {
      if (this.#take("b")) return 8;
      return this.#escaped();
    }
    if (character === "[" && this.#peek() === ":") throw new Error("[:names:] are not supported");
    return character.codePointAt(0) as number;
  }

  #literal(wanted: number): CharacterTest {
    return this.#range(wanted, wanted);
  }

  #range(low: number, high: number): CharacterTest {
    if (!this.#ignoreCase) return (code) => code >= low && code <= high;
    return (code) =>
      (code >= low && code <= high) ||
      between(otherCase(code, "lower"), low, high) ||
      between(otherCase(code, "upper"), low, high);
  }
}

function between(code: number, low: number, high: number): boolean {
  return code >= low && code <= high;
}

/** One character's other form; a form of several characters (the capital of ß) does not count. */
function otherCase(code: number, form: "lower" | "upper"): number {
  const character = String.fromCodePoint(code);
  const other = form === "lower" ? character.toLowerCase() : character.toUpperCase();
  const found = other.codePointAt(0) as number;
  return String.fromCodePoint(found).length === other.length ? found : code;
}
