import type { TypeUsage } from "./event-store.ts";

/** The types of a log with what they take, the most bytes first. */
export function byBytes(types: ReadonlyMap<string, Omit<TypeUsage, "type">>): readonly TypeUsage[] {
  return [...types]
    .map(([type, usage]) => ({ type, ...usage }))
    .toSorted(
      (left, right) => right.payloadBytes - left.payloadBytes || (left.type < right.type ? -1 : 1),
    );
}
