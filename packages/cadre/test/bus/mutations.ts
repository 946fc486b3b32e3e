/** Signed events, each changed in one place. */
import type { AgentEvent, Identity, JsonValue } from "cadre";
import { metadataFields } from "#src/core/event.ts";

export interface Mutated {
  readonly what: string;
  readonly event: AgentEvent;
}

type Draft = Record<string, unknown> & { metadata: Record<string, unknown> };
type Change = (draft: Draft, next: (below: number) => number, other: Identity) => void;

/** One change of each kind that an event allows. */
export function allMutations(event: AgentEvent, other: Identity): readonly Mutated[] {
  return changesOf(event).map(([what, change]) => mutated(event, what, change, () => 0, other));
}

/** One change, by chance. */
export function mutations(
  event: AgentEvent,
  chances: Iterable<number>,
  other: Identity,
): readonly Mutated[] {
  const drawn = chances[Symbol.iterator]();
  const next = (below: number): number => (drawn.next().value as number) % below;
  const changes = changesOf(event);
  const [what, change] = changes[next(changes.length)]!;
  return [mutated(event, what, change, next, other)];
}

function mutated(
  event: AgentEvent,
  what: string,
  change: Change,
  next: (below: number) => number,
  other: Identity,
): Mutated {
  const draft = structuredClone(event) as unknown as Draft;
  change(draft, next, other);
  return { what, event: draft as unknown as AgentEvent };
}

function changesOf(event: AgentEvent): readonly (readonly [string, Change])[] {
  const changes: [string, Change][] = [
    ["id", (draft, next) => void (draft["id"] = changedText(event.id, next))],
    ["type", (draft, next) => void (draft["type"] = changedText(event.type, next))],
    ["source", (draft, next) => void (draft["source"] = changedText(event.source, next))],
    // Near an instant too large for it, 1 more is the same number.
    ["timestamp", (draft) => void (draft["timestamp"] = changedNumber(event.timestamp))],
    ["payload", (draft, next) => void (draft["payload"] = changedJson(event.payload, next))],
    ["payload in a list", (draft) => void (draft["payload"] = [event.payload])],
  ];
  for (const field of metadataFields) {
    if (field === "signature") continue;
    const value = event.metadata[field];
    if (value === undefined) {
      changes.push([`${field} added`, ({ metadata }) => void (metadata[field] = "x")]);
      continue;
    }
    changes.push([`${field} removed`, ({ metadata }) => void delete metadata[field]]);
    changes.push([
      `${field} changed`,
      ({ metadata }, next) => void (metadata[field] = changedJson(value, next)),
    ]);
  }
  return [...changes, ...signatureChanges(event.metadata.signature!)];
}

function signatureChanges(signature: string): readonly (readonly [string, Change])[] {
  const set = (make: (next: (below: number) => number, other: Identity) => string): Change => {
    return ({ metadata }, next, other) => void (metadata["signature"] = make(next, other));
  };
  const [head, did, encoded] = signature.split(".") as [string, string, string];
  const bytes = Buffer.from(encoded, "base64url");
  const flipped = (next: (below: number) => number): string => {
    const copy = Buffer.from(bytes);
    const bit = next(bytes.length * 8);
    copy[bit >> 3]! ^= 1 << (bit & 7);
    return copy.toString("base64url");
  };
  // The last letter has four bits that mean nothing: the same bytes, spelled otherwise.
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet[alphabet.indexOf(encoded.at(-1)!) ^ 1]!;
  return [
    ["signature removed", ({ metadata }) => void delete metadata["signature"]],
    ["signature: a bit", set((next) => `${head}.${did}.${flipped(next)}`)],
    ["signature: the spelling", set(() => `${head}.${did}.${encoded.slice(0, -1)}${last}`)],
    ["signature: padding", set(() => `${signature}==`)],
    ["signature: cut", set((next) => signature.slice(0, 1 + next(signature.length - 1)))],
    ["signature: another signer", set((_next, other) => `${head}.${other.did}.${encoded}`)],
    ["signature: another format", set(() => `cadre2.${did}.${encoded}`)],
    ["signature: a part more", set(() => `${signature}.x`)],
    ["signature: of the order of the curve more", set(() => `${head}.${did}.${greater(bytes)}`)],
  ];
}

/** S + L in place of S: the other number that a careless check takes for it. */
function greater(bytes: Buffer): string {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  let number = 0n;
  for (let index = 63; index >= 32; index -= 1) number = number * 256n + BigInt(bytes[index]!);
  number += order;
  const copy = Buffer.from(bytes);
  for (let index = 32; index < 64; index += 1, number /= 256n) copy[index] = Number(number % 256n);
  return copy.toString("base64url");
}

function changedText(text: string, next: (below: number) => number): string {
  const at = next(text.length + 1);
  if (next(2) === 0 || at === text.length) return `${text.slice(0, at)}~${text.slice(at)}`;
  const changed = `${text.slice(0, at)}${text.slice(at + 1)}`;
  return changed === text ? `${text}~` : changed;
}

function changedNumber(value: number): number {
  return value + 1 === value ? value / 2 : value + 1;
}

/** Another value: a leaf of another value or type, a member more or less, another order. */
function changedJson(value: unknown, next: (below: number) => number): unknown {
  if (typeof value === "string") return next(2) === 0 ? changedText(value, next) : [value];
  if (typeof value === "number") return next(2) === 0 ? changedNumber(value) : String(value);
  if (typeof value !== "object" || value === null) return value === null ? false : null;
  if (Array.isArray(value)) {
    const items = structuredClone(value) as JsonValue[];
    const at = next(items.length + 1);
    if (at === items.length) return [...items, null];
    items[at] = changedJson(items[at], next) as JsonValue;
    return items;
  }
  const entries = Object.entries(value);
  const at = next(entries.length + 1);
  if (at === entries.length) return Object.fromEntries([...entries, ["one more ~", null]]);
  const [key, member] = entries[at]!;
  const rest = entries.filter((_entry, index) => index !== at);
  const kinds = [
    () => rest,
    () => [...rest, [`${key}~`, member] as const],
    () => [...rest, [key, changedJson(member, next)] as const],
  ];
  return Object.fromEntries(kinds[next(kinds.length)]!());
}
