/**
 * MongoDB's order and equality over JSON values.
 *
 *   null < numbers < strings < objects < arrays < booleans        only inside objects and arrays;
 *   values of two different kinds are never less or greater in a filter: "type bracketing"
 */

/** The kinds of value in their order; `undefined` is a missing field. */
export function kindOf(value: unknown): number {
  switch (typeof value) {
    case "number":
      return 10;
    case "string":
      return 15;
    case "boolean":
      return 40;
    case "undefined":
      return 0;
    default:
      return value === null ? 5 : Array.isArray(value) ? 25 : 20;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Deep equality; the order of an object's keys counts, as in MongoDB. */
export function equalValues(a: unknown, b: unknown): boolean {
  return a === b || (kindOf(a) === kindOf(b) && compareValues(a, b) === 0);
}

/** Negative, 0 or positive, as `a` comes before `b`, is equal to it, or comes after it. */
export function compareValues(a: unknown, b: unknown): number {
  const kind = kindOf(a);
  const difference = kind - kindOf(b);
  if (difference !== 0) return difference;
  switch (kind) {
    case 10:
    case 40:
      return Number(a) - Number(b);
    case 15:
      return compareTexts(a as string, b as string);
    case 20:
      return compareObjects(a as object, b as object);
    case 25:
      return compareArrays(a as readonly unknown[], b as readonly unknown[]);
    default:
      return 0;
  }
}

/**
 * By code point, as UTF-8 sorts; JavaScript's own order is by UTF-16 unit, which puts surrogates
 * before U+E000.
 */
export function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rankOfUnit(x) - rankOfUnit(y);
  }
  return a.length - b.length;
}

function rankOfUnit(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

function compareArrays(a: readonly unknown[], b: readonly unknown[]): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const order = compareValues(a[i], b[i]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** Field by field: first the kind of the value, then the name, then the value. */
function compareObjects(a: object, b: object): number {
  const left = Object.entries(a);
  const right = Object.entries(b);
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) {
    const [leftKey, leftValue] = left[i] as [string, unknown];
    const [rightKey, rightValue] = right[i] as [string, unknown];
    const order =
      kindOf(leftValue) - kindOf(rightValue) ||
      compareTexts(leftKey, rightKey) ||
      compareValues(leftValue, rightValue);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}
