import type { AgentEvent } from "./event.ts";
import type { EventRegistry, EventTypeInfo } from "./registry.ts";

/**
 * A registry in front of another: what neither knows is the first's to take or to refuse.
 */
export function combineRegistries<First extends object, Second extends object>(
  first: EventRegistry<First>,
  second: EventRegistry<Second>,
): EventRegistry<First & Second> {
  const knows = (registry: EventRegistry, type: string): boolean =>
    registry.find(type)?.type === type;
  /** A type that is declared by its name comes before a family that it also fits. */
  const owner = (type: string): EventRegistry => {
    if (knows(first, type)) return first;
    if (knows(second, type)) return second;
    return first.find(type) || !second.find(type) ? first : second;
  };
  return {
    closed: first.closed && second.closed,
    find: (type) => owner(type).find(type),
    list: (): readonly EventTypeInfo[] => {
      const own = new Set(first.list().map(({ type }) => type));
      return [...first.list(), ...second.list().filter(({ type }) => !own.has(type))];
    },
    validate: (type, payload, version) => owner(type).validate(type, payload, version),
    upcast: (event: AgentEvent) => owner(event.type).upcast(event),
  };
}
