import { createHash } from "node:crypto";

import { toFrozenJson, type JsonValue } from "../core/json.ts";

/** The hash of a step's input; nothing hashes to nothing. Equal inputs hash equally. */
export function hashInput(input: unknown): string {
  if (input === undefined) return "";
  return createHash("sha256")
    .update(stableText(toFrozenJson(input)))
    .digest("hex")
    .slice(0, 32);
}

/**
 * JSON with sorted keys: two values that are equal have one text, whatever order their members were
 * set in.
 */
export function stableText(value: JsonValue): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(stableText).join(",")}]`;
  const members = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  const texts = members.map(([key, member]) => `${JSON.stringify(key)}:${stableText(member)}`);
  return `{${texts.join(",")}}`;
}
