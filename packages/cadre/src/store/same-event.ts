import type { AgentEvent } from "../core/event.ts";
import { eventFields } from "../core/event.ts";

/** Whether two events have equal content: every field, whatever the order of object members. */
export function sameEvent(left: AgentEvent, right: AgentEvent): boolean {
  return left === right || eventFields.every((field) => sameJson(left[field], right[field]));
}

function sameJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== "object" || typeof right !== "object") return false;
  if (left === null || right === null) return false;
  if (Array.isArray(left) || Array.isArray(right)) {
    return (
      Array.isArray(left) &&
      Array.isArray(right) &&
      left.length === right.length &&
      left.every((item, index) => sameJson(item, right[index]))
    );
  }
  const members = Object.entries(left);
  return (
    members.length === Object.keys(right).length &&
    members.every(
      ([key, member]) =>
        Object.hasOwn(right, key) && sameJson(member, (right as Record<string, unknown>)[key]),
    )
  );
}
