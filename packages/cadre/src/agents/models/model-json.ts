/**
 * What a model or a tool gives, as JSON and back: bytes, dates, URLs, headers and errors survive.
 * What no copy can be made of (a function, a cycle) is left out, so that an answer that was paid
 * for is never lost to its form.
 */
import type { JsonValue } from "../../core/json.ts";

/** Marks what is not itself; an object that has a member of this name is wrapped too. */
const mark = "$cadre";
const maxDepth = 100; // far below what a payload may have

type Plain = Readonly<Record<string, unknown>>;

/** The value as JSON; `undefined` for what can't be one. */
export function toRecord(value: unknown): JsonValue | undefined {
  return encode(value, []);
}

/** The value that `toRecord` was given. */
export function fromRecord(record: unknown): unknown {
  if (typeof record !== "object" || record === null) return record;
  if (Array.isArray(record)) return record.map(fromRecord);
  const members = record as Plain;
  return typeof members[mark] === "string" ? decode(members) : decodeMembers(members);
}

function encode(value: unknown, above: readonly object[]): JsonValue | undefined {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) ? value : { [mark]: "number", value: String(value) };
    case "bigint":
      return { [mark]: "bigint", value: String(value) };
    case "object":
      if (value === null) return null;
      if (above.includes(value) || above.length > maxDepth) return undefined;
      return encodeObject(value, [...above, value]);
    default:
      return undefined;
  }
}

function encodeObject(value: object, above: readonly object[]): JsonValue | undefined {
  if (Array.isArray(value)) return value.map((item) => encode(item, above) ?? null);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return bytes(value);
  if (value instanceof Date) return wrapped("date", value.getTime(), above);
  if (value instanceof URL) return { [mark]: "url", value: value.href };
  if (value instanceof Headers) return { [mark]: "headers", value: [...value] };
  if (value instanceof Map) return wrapped("map", [...value], above);
  if (value instanceof Set) return wrapped("set", [...value], above);
  if (value instanceof Error) {
    const { name, message, cause } = value;
    return wrapped("error", Object.assign({}, value, { name, message, cause }), above);
  }
  const members = encodeMembers(value as Plain, above);
  return mark in members ? { [mark]: "object", value: members } : members;
}

function wrapped(kind: string, value: unknown, above: readonly object[]): JsonValue {
  return { [mark]: kind, value: encode(value, above) ?? null };
}

function encodeMembers(value: Plain, above: readonly object[]): Record<string, JsonValue> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => {
      const encoded = encode(member, above);
      return encoded === undefined ? [] : [[name, encoded] as const];
    }),
  );
}

function bytes(value: ArrayBufferView | ArrayBuffer): JsonValue {
  const view =
    value instanceof ArrayBuffer
      ? new Uint8Array(value)
      : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  const of = Object.hasOwn(numbers, kind) ? { of: kind } : {};
  return { [mark]: "bytes", value: Buffer.from(view).toString("base64"), ...of };
}

/** Of numbers that are more than bytes. */
const numbers: Readonly<Record<string, new (buffer: ArrayBuffer) => ArrayBufferView>> = {
  Uint8ClampedArray,
  Int8Array,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
  Float32Array,
  Float64Array,
};

function unpacked({ value, of }: Plain): ArrayBufferView {
  // A copy: what is cut from a pool need not lie where its numbers may.
  const plain = new Uint8Array(Buffer.from(String(value), "base64"));
  const Numbers = typeof of === "string" && Object.hasOwn(numbers, of) ? numbers[of] : undefined;
  return Numbers ? new Numbers(plain.buffer) : plain;
}

function decode(record: Plain): unknown {
  const { value } = record;
  switch (record[mark]) {
    case "bytes":
      return unpacked(record);
    case "date":
      return new Date(Number(fromRecord(value)));
    case "url":
      return new URL(String(value));
    case "headers":
      return new Headers(value as [string, string][]);
    case "map":
      // An entry that was too deep is null.
      return new Map(listOf(value).filter((entry) => Array.isArray(entry)) as [unknown, unknown][]);
    case "set":
      return new Set(listOf(value));
    case "number":
      return Number(value);
    case "bigint":
      return BigInt(String(value));
    case "error": {
      const { message, cause, ...rest } = (fromRecord(value) ?? {}) as Plain;
      return Object.assign(new Error(String(message), cause === undefined ? {} : { cause }), rest);
    }
    default:
      return decodeMembers(value as Plain);
  }
}

function listOf(record: unknown): readonly unknown[] {
  const list = fromRecord(record);
  return Array.isArray(list) ? list : [];
}

function decodeMembers(members: Plain): Plain {
  return Object.fromEntries(
    Object.entries(members).map(([name, member]) => [name, fromRecord(member)]),
  );
}
