import type { Guard } from "./guard.ts";

const guards = new WeakMap<object, Guard>();

/** The guard of a bus of this process: for who brings it events that were made elsewhere. */
export function guardOfBus(bus: object): Guard | undefined {
  return guards.get(bus);
}

export function keepGuard(bus: object, guard: Guard): void {
  guards.set(bus, guard);
}
