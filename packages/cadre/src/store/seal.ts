/**
 * Seals: the hash chain over the log. `docs/reference/audit-format.md` is the reference.
 *
 *   rows 1…256 ─▶ seal 1 ◀─prev─ seal 2 ◀─prev─ … ◀─ seal n ◀─ the anchor: number, place, digest
 *
 * - A row's leaf is the SHA-256 of its line (row-line.ts), cut to 24 bytes, in base64.
 * - A seal is one line of JSON: the places of the rows that it covers, their leaves, and the digest
 *   of the seal before it. Its own digest, the SHA-256 of that line, stands in the next one.
 * - Seals cover the log without a break: each begins right behind the one before it. A place that
 *   it covers and does not list was empty.
 * - A seal never changes. A row that retention has removed keeps its leaf in it.
 */
import { hash } from "node:crypto";
import type { EventStore, LogPosition, Slot, StoredEvent } from "./event-store.ts";
import { rowLine } from "./row-line.ts";

/** Names one seal, and with it everything up to it. */
export interface Anchor {
  /** The number of the seal, from 1. */
  readonly anchor: number;
  /** The last position that it covers. */
  readonly to: LogPosition;
  /** Its digest, in hexadecimal digits. */
  readonly hash: string;
}

export interface Seal {
  readonly seal: number;
  /** The digest of the seal before it; zeros for the first. */
  readonly prev: string;
  readonly from: LogPosition;
  readonly to: LogPosition;
  /** First and last places of unbroken runs of rows, in turn. */
  readonly rows: readonly number[];
  /** 32 characters a row. */
  readonly leaves: string;
  /** Unix milliseconds by the sealer's clock. */
  readonly sealedAt: number;
}

export const noDigest: string = "0".repeat(64);
export const leafLength = 32; // base64 characters, of 24 bytes

export const auditPrefix = "audit/";
const headSlot = `${auditPrefix}head`;
const numberDigits = 12;

export function sealSlot(seal: number): string {
  return `${auditPrefix}seal/${String(seal).padStart(numberDigits, "0")}`;
}

function leafOfLine(line: string): string {
  return hash("sha256", line, "base64").slice(0, leafLength);
}

/** @throws {CadreError} UNDECODABLE, when the store cannot read the payload */
export function leafOf(stored: StoredEvent): string {
  return leafOfLine(rowLine(stored));
}

export function digestOf(sealLine: string): string {
  return hash("sha256", sealLine, "hex");
}

export function sealLine({ seal, prev, from, to, rows, leaves, sealedAt }: Seal): string {
  return JSON.stringify({ seal, prev, from, to, rows, leaves, sealedAt });
}

export function anchorLine({ anchor, to, hash: digest }: Anchor): string {
  return JSON.stringify({ anchor, to, hash: digest });
}

/** The seal in a line; nothing when it is none. */
export function parseSeal(line: string): Seal | undefined {
  const value = parseObject(line);
  if (!value) return undefined;
  const { seal, prev, from, to, rows, leaves, sealedAt } = value;
  const isWhole = [seal, from, to].every(Number.isSafeInteger);
  if (!isWhole || typeof prev !== "string" || typeof leaves !== "string") return undefined;
  if (!Array.isArray(rows) || rows.length % 2 === 1 || !rows.every(Number.isSafeInteger)) {
    return undefined;
  }
  const parsed = value as unknown as Seal; // checked above
  if (typeof sealedAt !== "number" || countOf(parsed) * leafLength !== leaves.length) {
    return undefined;
  }
  return parsed;
}

/** How many rows the seal lists. */
export function countOf({ rows }: Pick<Seal, "rows">): number {
  let count = 0;
  for (let at = 0; at < rows.length; at += 2) count += rows[at + 1]! - rows[at]! + 1;
  return count;
}

/** The places that the seal lists, each with its leaf. */
export function* leavesOf({ rows, leaves }: Seal): Iterable<readonly [LogPosition, string]> {
  let start = 0;
  for (let at = 0; at < rows.length; at += 2) {
    for (let position = rows[at]!; position <= rows[at + 1]!; position += 1) {
      yield [position, leaves.slice(start, start + leafLength)];
      start += leafLength;
    }
  }
}

/** The anchor in a line; nothing when it is none. */
export function parseAnchor(line: string): Anchor | undefined {
  const value = parseObject(line);
  const isPlace = (place: unknown): boolean => Number.isSafeInteger(place) && Number(place) > 0;
  if (!value || !isPlace(value.anchor) || !isPlace(value.to)) return undefined;
  const isDigest = typeof value.hash === "string" && /^[0-9a-f]{64}$/.test(value.hash);
  return isDigest ? (value as unknown as Anchor) : undefined; // checked above
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Where the chain of a log ends, with the version of the slot that says so. */
export interface ChainHead {
  readonly anchor: Anchor | undefined;
  readonly slot: Slot | undefined;
}

export async function readChainHead(store: EventStore): Promise<ChainHead> {
  const slot = await store.slot(headSlot);
  return { anchor: slot && parseAnchor(slot.value), slot };
}

/**
 * The last seal of the log, to be kept where those who can change the log cannot: with it,
 * {@link verifyLog} finds also a log that was cut or written anew. Nothing when nothing is sealed.
 */
export async function readAnchor(store: EventStore): Promise<Anchor | undefined> {
  return (await readChainHead(store)).anchor;
}

/** The writes that put a seal at the end of the chain. */
export function sealWrites(
  line: string,
  seal: Seal,
  headVersion: number,
): {
  readonly anchor: Anchor;
  readonly slots: readonly { name: string; expectedVersion: number; value: string }[];
} {
  const anchor = { anchor: seal.seal, to: seal.to, hash: digestOf(line) };
  const slots = [
    { name: sealSlot(seal.seal), expectedVersion: 0, value: line },
    { name: headSlot, expectedVersion: headVersion, value: anchorLine(anchor) },
  ];
  return { anchor, slots };
}
