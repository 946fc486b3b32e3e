import type { AgentEvent } from "./event.ts";
import type { EventMap } from "./event-types.ts";
import type { EventRegistry, EventTypeInfo } from "./registry.ts";

/**
 * A registry in front of another: what the first knows is its own, everything else is the second's to take or to refuse.
 */
export function combineRegistries<First extends EventMap, Second extends EventMap>(
  first: EventRegistry<First>,
  second: EventRegistry<Second>,
): EventRegistry<First & Second> {
  const owner = (type: string): EventRegistry => (first.find(type) ? first : second);
  return {
    // An open registry takes what it does not know, so that the second never gets to refuse it.
    closed: first.closed && second.closed,
    find: (type) => first.find(type) ?? second.find(type),
    list: (): readonly EventTypeInfo[] => {
      const own = new Set(first.list().map(({ type }) => type));
      return [...first.list(), ...second.list().filter(({ type }) => !own.has(type))];
    },
    validate: (type, payload, version) => {
      const registry = first.closed || second.find(type) ? owner(type) : first;
      return registry.validate(type, payload, version);
    },
    upcast: (event: AgentEvent) => owner(event.type).upcast(event),
  };
}
