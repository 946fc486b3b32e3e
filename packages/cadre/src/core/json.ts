import { CadreError } from "./errors.ts";

export type JsonPrimitive = string | number | boolean | null;
/** What a payload may hold. */
export type JsonValue =
  | JsonPrimitive
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

const maxDepth = 200; // deeper than real data, and it bounds every recursion over a payload

/**
 * What JSON cannot carry, on its way out of the recursion. Every level adds the key that it is
 * under, so that the path costs nothing as long as there is nothing to refuse.
 */
class Refusal extends Error {
  readonly #found: string;
  readonly #keys: (string | number)[] = [];

  constructor(found: string) {
    super(found);
    this.#found = found;
  }

  under(key: string | number): void {
    this.#keys.push(key);
  }

  toError(): CadreError<"NOT_JSON"> {
    let path = "";
    for (const key of this.#keys.toReversed()) {
      if (typeof key === "number") path += `[${key}]`;
      else path += path === "" ? key : `.${key}`;
    }
    return new CadreError(
      "NOT_JSON",
      `The payload holds ${this.#found} at ${path || "its root"}, which JSON cannot carry. ` +
        "Send plain objects, arrays, strings, finite numbers, booleans and null.",
      { path },
    );
  }
}

/**
 * A deeply frozen copy of `value` that shares nothing with it, exactly as it would arrive after a
 * trip through JSON: -0 is 0, members that are `undefined` are left out, `toJSON` is called.
 *
 * @throws {CadreError} NOT_JSON, naming the path of the first thing that JSON cannot carry: a
 *   function, a symbol, a bigint, NaN or an infinity, a cycle, a sparse or `undefined` array item,
 *   an object with a prototype of its own (Map, Date without toJSON …), or more than 200 levels
 */
export function toFrozenJson(value: unknown): JsonValue {
  try {
    return copy(value, 0);
  } catch (error) {
    throw error instanceof Refusal ? error.toError() : error;
  }
}

function copy(value: unknown, depth: number): JsonValue {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      if (!Number.isFinite(value)) throw new Refusal(String(value));
      return value === 0 ? 0 : value;
    case "object":
      return value === null ? null : copyComposite(value, depth);
    default:
      throw new Refusal(value === undefined ? "undefined" : `a ${typeof value}`);
  }
}

function copyComposite(value: object, depth: number): JsonValue {
  if (depth > maxDepth) throw new Refusal(`a cycle, or more than ${maxDepth} levels`);
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return copy(value.toJSON(""), depth + 1);
  }
  if (Array.isArray(value)) return copyArray(value, depth);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null && !isForeignPlain(prototype)) {
    throw new Refusal(`an instance of ${value.constructor?.name ?? "object"}`);
  }
  return copyObject(value as Record<string, unknown>, depth);
}

/**
 * A plain object of another realm (a vm context, a worker's message) has that realm's
 * Object.prototype.
 */
function isForeignPlain(prototype: unknown): boolean {
  return (
    typeof prototype === "object" &&
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, "isPrototypeOf")
  );
}

function copyArray(value: readonly unknown[], depth: number): JsonValue {
  // With just the room that it needs, for as long as the event is kept: a first push makes 17.
  const items = Array<JsonValue>(value.length);
  let index = 0;
  try {
    for (; index < items.length; index += 1) items[index] = copy(value[index], depth + 1);
  } catch (error) {
    throw located(error, index);
  }
  return Object.freeze(items);
}

/**
 * A spread keeps the shape and costs a third of setting member by member; what must not stay as it
 * is gets replaced afterwards.
 */
function copyObject(value: Record<string, unknown>, depth: number): JsonValue {
  const members = { ...value };
  let isComplete = Object.getOwnPropertySymbols(members).length === 0;
  let key = "";
  try {
    for (key in members) {
      const member = members[key];
      if (typeof member === "string" || typeof member === "boolean") continue;
      if (member === undefined) {
        isComplete = false;
      } else if (Object.hasOwn(members, key)) {
        const copied = copy(member, depth + 1);
        if (!Object.is(copied, member)) members[key] = copied;
      }
    }
  } catch (error) {
    throw located(error, key);
  }
  return Object.freeze(isComplete ? (members as Record<string, JsonValue>) : jsonMembers(members));
}

/** Without members that are `undefined` or have a symbol for their key. */
function jsonMembers(members: Readonly<Record<string, unknown>>): Record<string, JsonValue> {
  const kept = Object.entries(members).filter(([, member]) => member !== undefined);
  // Unlike an assignment, it makes a member of `__proto__` too.
  return Object.fromEntries(kept) as Record<string, JsonValue>; // copied member by member
}

function located(error: unknown, key: string | number): unknown {
  if (error instanceof Refusal) error.under(key);
  return error;
}

/**
 * Freezes fresh JSON data (the result of `JSON.parse`) in place, all the way down, and returns it.
 */
export function freezeJson<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    for (const member of Object.values(value)) freezeJson(member);
    Object.freeze(value);
  }
  return value;
}

/** The size of `text` in UTF-8. */
export function utf8Bytes(text: string): number {
  let bytes = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) bytes += 1;
    else if (unit < 0x800) bytes += 2;
    else if (unit >= 0xd800 && unit < 0xdc00 && isLow(text.charCodeAt(index + 1))) {
      bytes += 4;
      index += 1;
    } else bytes += 3;
  }
  return bytes;
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000;
}
