/**
 * Checks of option objects: an unknown name or an impossible value is refused, naming the option
 * and the nearest right one.
 */
import { CadreError } from "./errors.ts";

/** What one option may be. */
export interface OptionRule {
  /** Ends the sentence "Give …". */
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
}

export type OptionRules<Options> = { readonly [Name in keyof Required<Options>]: OptionRule };

/**
 * Checks every member of `options` against its rule. Members that are `undefined` count as left
 * out.
 *
 * @param where whose options they are, for the message: "createBus", "subscribe"
 * @throws {CadreError} INVALID_OPTION, naming the first option that is unknown or impossible
 */
export function checkOptions<Options extends object>(
  where: string,
  options: Options,
  rules: OptionRules<Options>,
): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new CadreError("INVALID_OPTION", `The options of ${where} must be one object.`, {
      option: where,
      value: options,
    });
  }
  const table = rules as Readonly<Record<string, OptionRule>>;
  for (const [name, value] of Object.entries(options)) {
    const rule = Object.hasOwn(table, name) ? table[name] : undefined;
    if (!rule) {
      const closest = nearestName(name, Object.keys(table));
      const hint = closest === undefined ? "" : ` Did you mean "${closest}"?`;
      throw new CadreError("INVALID_OPTION", `${where} has no option "${name}".${hint}`, {
        option: name,
        value,
      });
    }
    if (value === undefined || rule.accepts(value)) continue;
    throw new CadreError(
      "INVALID_OPTION",
      `Option "${name}" of ${where} is ${show(value)}. Give ${rule.expected}.`,
      { option: name, value },
    );
  }
}

function show(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return `a ${typeof value}`;
  }
}

/** A whole number from `least` to `most`. */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): OptionRule {
  const upTo = most === Number.MAX_SAFE_INTEGER ? "" : ` and at most ${most}`;
  return {
    expected: `a whole number of at least ${least}${upTo}`,
    accepts: (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most,
  };
}

/** A number from `least` to `most`, fractions allowed. */
export function numberBetween(least: number, most: number): OptionRule {
  return {
    expected: `a number from ${least} to ${most}`,
    accepts: (value) => typeof value === "number" && value >= least && value <= most,
  };
}

/** One of a few words. */
export function oneOf(...words: readonly string[]): OptionRule {
  return {
    expected: `one of ${words.map((word) => `"${word}"`).join(", ")}`,
    accepts: (value) => typeof value === "string" && words.includes(value),
  };
}

/** A string that isn't empty. */
export const someText: OptionRule = {
  expected: "a string that isn't empty",
  accepts: (value) => typeof value === "string" && value !== "",
};

export const trueOrFalse: OptionRule = {
  expected: "true or false",
  accepts: (value) => typeof value === "boolean",
};

export const someFunction: OptionRule = {
  expected: "a function",
  accepts: (value) => typeof value === "function",
};

/** An object, whose members are checked elsewhere. */
export const someObject: OptionRule = {
  expected: "an object",
  accepts: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

export const someSignal: OptionRule = {
  expected: "an AbortSignal",
  accepts: (value) => typeof value === "object" && value !== null && "aborted" in value,
};

/** Anything: checked where it is used. */
export const anything: OptionRule = { expected: "a value", accepts: () => true };

const farthest = 3; // edits; beyond it a suggestion is a guess

/** The name that takes the fewest edits to reach, if it takes few. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let least = Math.min(farthest, Math.ceil(name.length / 2)) + 1;
  for (const candidate of names) {
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (edits < least) {
      least = edits;
      nearest = candidate;
    }
  }
  return nearest;
}

/** Levenshtein's distance, one row at a time. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= right.length; j += 1) {
      const swap = left[i - 1] === right[j - 1] ? 0 : 1;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + swap));
    }
    row = next;
  }
  return row[right.length]!;
}
