/** Buses of two tenants, of all, of none, and of who may nothing, on one carrier. */
import type { TestContext } from "node:test";
import {
  createBus,
  createEvent,
  createIdentity,
  memory,
  SeededRandom,
  VirtualClock,
  type AgentEvent,
  type Bus,
  type EventOptions,
  type PermissionOptions,
} from "cadre";
import type { Transport } from "#src/bus/transport.ts";

const names = ["ann", "bea", "boss", "none", "free"] as const;
export type Name = (typeof names)[number];
export const keys = Object.fromEntries(
  names.map((name, index) => [name, createIdentity({ seed: new Uint8Array(32).fill(index + 1) })]),
) as Record<Name, ReturnType<typeof createIdentity>>;
export const trusted = Object.fromEntries(names.map((name) => [name, keys[name].did]));

/** ann is of tenant a, bea of b, boss of all, none may nothing, free is of no tenant. */
export const permissions: PermissionOptions = {
  members: {
    ann: { tenant: "a", roles: ["writer"] },
    bea: { tenant: "b", roles: ["writer"] },
    boss: { tenant: "*" },
    none: { tenant: "a" },
  },
  rules: [
    { who: "role:writer", may: ["publish", "subscribe"], on: "note.#" },
    { who: "role:writer", may: "subscribe", on: "ask.*" },
    { who: keys.ann.did, may: "publish", on: "ask.*" },
    { who: ["ann", "bea"], may: ["claim", "vote"], on: "read.*" },
    { who: "bea", may: "publish", on: "special.thing", tenant: "a" },
    { who: "boss", may: ["publish", "subscribe", "claim", "vote"], on: "#" },
    { who: "free", may: ["publish", "subscribe"], on: "note.#" },
  ],
};

export interface World {
  readonly clock: VirtualClock;
  readonly transport: Transport;
  readonly bus: (name: Name) => Bus;
  make(type: string, source: Name, options?: EventOptions): AgentEvent;
  raw(event: AgentEvent): Promise<void>;
}

export function world(context: TestContext): World {
  const clock = new VirtualClock(1_000_000);
  const random = new SeededRandom(1);
  const transport = memory({ clock });
  const made = new Map<Name, Bus>();
  context.after(async () => {
    for (const one of made.values()) {
      const closing = one.close({ deadlineMs: 100 });
      await clock.advance(5_000);
      await closing;
    }
  });
  return {
    clock,
    transport,
    bus: (name) => {
      const known = made.get(name);
      if (known) return known;
      const one = createBus({
        transport,
        clock,
        random,
        source: name,
        identity: keys[name],
        signatures: { trusted },
        permissions,
      });
      made.set(name, one);
      return one;
    },
    make: (type, source, options) => createEvent({ clock, random, source }, type, {}, options),
    raw: async (event) => {
      await transport.publish([{ event }]);
      await clock.advance(5);
    },
  };
}
