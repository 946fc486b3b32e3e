import { compilePattern } from "../core/pattern.ts";
import type { DeadLetter, DeadLetterQuery } from "./transport.ts";

/** Whether a letter is one of those that are asked for; the query's limit is the caller's. */
export function letterMatcher({
  group,
  reason,
  type,
}: DeadLetterQuery): (letter: DeadLetter) => boolean {
  const isType = type === undefined ? undefined : compilePattern(type);
  return (letter) => {
    if (group !== undefined && letter.group !== group) return false;
    if (reason !== undefined && letter.reason !== reason) return false;
    return !isType || (letter.event !== undefined && isType(letter.event.type));
  };
}
