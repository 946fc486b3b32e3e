import type { AgentEvent } from "../core/event.ts";
import { compilePattern } from "../core/pattern.ts";
import type { ReadQuery, Recorded } from "./transport.ts";

/**
 * Whether a record is one that a history query asks for. Its bounds, direction and limit are the
 * carrier's. What holds no event is asked for only where nothing is asked of the event.
 */
export function recordMatcher(query: ReadQuery): (recorded: Recorded) => boolean {
  const conditions: ((event: AgentEvent) => boolean)[] = [];
  const { type, source, correlationId, id, since, until } = query;
  if (type !== undefined) {
    const isType = compilePattern(type);
    conditions.push((event) => isType(event.type));
  }
  if (source !== undefined) conditions.push((event) => event.source === source);
  if (correlationId !== undefined) {
    conditions.push(({ metadata }) => metadata.correlationId === correlationId);
  }
  if (id !== undefined) conditions.push((event) => event.id === id);
  if (since !== undefined) conditions.push(({ timestamp }) => timestamp >= since);
  if (until !== undefined) conditions.push(({ timestamp }) => timestamp < until);
  return ({ event }) =>
    event ? conditions.every((holds) => holds(event)) : conditions.length === 0;
}
