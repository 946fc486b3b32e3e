/**
 * Reads a dotted path out of a value the way MongoDB does.
 *
 *   { payload: { items: [{ tag: "a" }, { tag: ["b", "c"] }] } }
 *   payload.items.tag      "a", "b", "c", ["b", "c"]     each object in the array goes on
 *   payload.items.1.tag    "b", "c", ["b", "c"]          a number may also be an index
 *   payload.other          missing                       seen as undefined
 *   payload.items.tag.x    nothing at all                there is an array, but no object in it
 */
import { isObject } from "./filter-value.ts";

export type Test = (value: unknown) => boolean;

export interface FieldPath {
  readonly text: string;
  readonly words: readonly string[];
}

/**
 * True when one of the values at the path passes the test. A missing field is tested as
 * `undefined`.
 *
 * With `expand`, an array at the end of the path is tested element by element and then as a whole;
 * without, only as a whole.
 */
export function someAt(root: unknown, path: FieldPath, expand: boolean, test: Test): boolean {
  return someFrom(root, path.words, 0, expand, test);
}

function someFrom(
  start: unknown,
  words: readonly string[],
  from: number,
  expand: boolean,
  test: Test,
): boolean {
  let value = start;
  for (let i = from; i < words.length; i++) {
    if (Array.isArray(value)) return someInArray(value, words, i, expand, test);
    if (typeof value !== "object" || value === null) return test(undefined);
    value = ownValue(value, words[i] as string);
  }
  return testEnd(value, expand, test);
}

/** The test of what stands at the end of a path; see {@link someAt}. */
export function testEnd(value: unknown, expand: boolean, test: Test): boolean {
  if (expand && Array.isArray(value)) {
    for (const element of value) if (test(element)) return true;
  }
  return test(value);
}

function someInArray(
  array: readonly unknown[],
  words: readonly string[],
  at: number,
  expand: boolean,
  test: Test,
): boolean {
  const index = indexOf(words[at] as string);
  for (let i = 0; i < array.length; i++) {
    const element = array[i];
    if (isObject(element) && someFrom(element, words, at, expand, test)) return true;
    if (i !== index) continue;
    // An array that an index picked out stands for itself: the path has named the one element that
    // it means.
    if (at + 1 === words.length) {
      if (test(element)) return true;
    } else if (typeof element === "object" && element !== null) {
      if (someFrom(element, words, at + 1, expand, test)) return true;
    }
  }
  return false;
}

/**
 * What an object has from its prototype is not there: functions, which JSON has none of, and the
 * prototype itself.
 */
export function ownValue(object: object, name: string): unknown {
  const value = (object as Record<string, unknown>)[name];
  if (typeof value !== "function" && name !== "__proto__") return value;
  return typeof value !== "function" && Object.hasOwn(object, name) ? value : undefined;
}

function indexOf(word: string): number {
  const first = word.charCodeAt(0);
  if (first < 0x30 || first > 0x39) return -1;
  return /^(0|[1-9]\d*)$/.test(word) ? Number(word) : -1;
}
