/** JSON text on the wire, in UTF-8: strict in what it reads, bounded in both directions. */
import { CadreError } from "../errors.ts";
import type { JsonValue } from "../json.ts";

export interface CodecLimits {
  /** Largest encoded event in bytes. @default 1_048_576 */
  readonly maxBytes?: number;
}

const defaultMaxBytes = 1_048_576; // what brokers take by default: NATS 1 MiB, Kafka 1 MB
const maxDepth = 256; // a payload has up to 200 levels; the envelope adds its own

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws {CadreError} TOO_LARGE */
export function encodeUtf8(text: string, limits: CodecLimits): Uint8Array {
  const maxBytes = limits.maxBytes ?? defaultMaxBytes;
  const bytes = encoder.encode(text);
  if (bytes.length > maxBytes) refuseSize(bytes.length, maxBytes);
  return bytes;
}

/**
 * Fresh, deeply frozen data; -0 is 0.
 *
 * @throws {CadreError} TOO_LARGE, before anything is parsed
 * @throws {CadreError} UNDECODABLE, for what is no UTF-8, no JSON, deeper than 256 levels, or has a
 *   number that no double holds
 */
export function decodeJson(bytes: Uint8Array, limits: CodecLimits): JsonValue {
  return parseJson(decodeText(bytes, limits));
}

/** @throws {CadreError} TOO_LARGE | UNDECODABLE */
export function decodeText(bytes: Uint8Array, limits: CodecLimits): string {
  const maxBytes = limits.maxBytes ?? defaultMaxBytes;
  if (bytes.length > maxBytes) refuseSize(bytes.length, maxBytes);
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw undecodable("it is no UTF-8", error);
  }
}

/** As {@link decodeJson}, of text. */
export function parseJson(text: string): JsonValue {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw undecodable(`it is no JSON (${error instanceof Error ? error.message : ""})`, error);
  }
  return settle(parsed, 0);
}

export function undecodable(reason: string, cause?: unknown): CadreError<"UNDECODABLE"> {
  return new CadreError("UNDECODABLE", `These bytes hold no event: ${reason}.`, { reason }, cause);
}

function refuseSize(bytes: number, maxBytes: number): never {
  throw new CadreError(
    "TOO_LARGE",
    `The encoded event has ${bytes} bytes; at most ${maxBytes} are taken. ` +
      "Keep large content elsewhere and send its address.",
    { bytes, maxBytes },
  );
}

/** Freezes what `JSON.parse` made, in place. */
function settle(value: unknown, depth: number): JsonValue {
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw undecodable("it has a number that is out of range");
    return value === 0 ? 0 : value;
  }
  // A string, a boolean, null.
  if (typeof value !== "object" || value === null) return value as JsonValue;
  if (depth > maxDepth) throw undecodable(`it is deeper than ${maxDepth} levels`);
  const members = value as Record<string, unknown>; // an array's items have their index as key
  for (const key of Object.keys(members)) {
    const member = members[key];
    const settled = settle(member, depth + 1);
    // Only -0 differs from what is there.
    if (!Object.is(settled, member)) members[key] = settled;
  }
  return Object.freeze(value) as JsonValue;
}
