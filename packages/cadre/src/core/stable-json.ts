import type { JsonValue } from "./json.ts";

/**
 * JSON with sorted keys: two values that are equal have one text, whatever order their members were
 * set in.
 */
export function stableJson(value: JsonValue): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(stableJson).join(",")}]`;
  const members = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  const texts = members.map(([key, member]) => `${JSON.stringify(key)}:${stableJson(member)}`);
  return `{${texts.join(",")}}`;
}
