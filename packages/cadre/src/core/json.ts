import { CadreError } from "./errors.ts";

export type JsonPrimitive = string | number | boolean | null;
/** What a payload may hold. */
export type JsonValue =
  | JsonPrimitive
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

const maxDepth = 200; // deeper than real data, and it bounds every recursion over a payload

function refuse(path: string, found: string): never {
  throw new CadreError(
    "NOT_JSON",
    `The payload holds ${found} at ${path || "its root"}, which JSON cannot carry. ` +
      "Send plain objects, arrays, strings, finite numbers, booleans and null.",
    { path },
  );
}

function pathOf(path: string, key: string | number): string {
  if (typeof key === "number") return `${path}[${key}]`;
  return path === "" ? key : `${path}.${key}`;
}

/**
 * A deeply frozen copy of `value` that shares nothing with it, exactly as it would arrive after a
 * trip through JSON: -0 is 0, members that are `undefined` are left out, `toJSON` is called.
 *
 * @throws {CadreError} NOT_JSON, naming the path of the first thing that JSON cannot carry: a
 * function, a symbol, a bigint,
 *   NaN or an infinity, a cycle, a sparse or `undefined` array item, an object with a prototype of its own (Map, Date without
 *   toJSON …), or more than 200 levels
 */
export function toFrozenJson(value: unknown): JsonValue {
  return copy(value, "", 0);
}

function copy(value: unknown, path: string, depth: number): JsonValue {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      if (!Number.isFinite(value)) refuse(path, String(value));
      return value === 0 ? 0 : value;
    case "object":
      break;
    default:
      return refuse(path, value === undefined ? "undefined" : `a ${typeof value}`);
  }
  if (value === null) return null;
  if (depth > maxDepth) refuse(path, `a cycle, or more than ${maxDepth} levels`);
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return copy(value.toJSON(""), path, depth + 1);
  }
  if (Array.isArray(value)) return copyArray(value, path, depth);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null && !isForeignPlain(prototype)) {
    const name = value.constructor?.name ?? "object";
    refuse(path, `an instance of ${name}`);
  }
  return copyObject(value as Record<string, unknown>, path, depth);
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

function copyArray(value: readonly unknown[], path: string, depth: number): JsonValue {
  const items: JsonValue[] = [];
  for (let index = 0; index < value.length; index += 1) {
    items.push(copy(value[index], pathOf(path, index), depth + 1));
  }
  return Object.freeze(items);
}

function copyObject(value: Record<string, unknown>, path: string, depth: number): JsonValue {
  const members: Record<string, JsonValue> = {};
  for (const key of Object.keys(value)) {
    const member = value[key];
    if (member === undefined) continue;
    const copied = copy(member, pathOf(path, key), depth + 1);
    if (key === "__proto__") {
      // A plain assignment would set the prototype instead of making a member.
      Object.defineProperty(members, key, { value: copied, enumerable: true });
    } else {
      members[key] = copied;
    }
  }
  return Object.freeze(members);
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
