/** Buses on one carrier, of which one listens and lets in only what is signed. */
import assert from "node:assert/strict";
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
  type BusOptions,
  type EventOptions,
  type SignatureOptions,
} from "cadre";
import type { Transport } from "#src/bus/transport.ts";
import { limited } from "./set-up.ts";

export const keyOf = (number: number): ReturnType<typeof createIdentity> =>
  createIdentity({ seed: new Uint8Array(32).fill(number) });
export const reader = keyOf(1);
export const writer = keyOf(2);
export const forger = keyOf(3);
export const trusted = { reader: reader.did, writer: writer.did };

export interface World {
  readonly clock: VirtualClock;
  readonly transport: Transport;
  readonly seen: AgentEvent[];
  readonly violations: AgentEvent[];
  readonly listener: Bus;
  bus(options?: Partial<BusOptions>): Bus;
  /** Puts an event on the carrier, past every bus. */
  raw(event: AgentEvent): Promise<void>;
  make(type: string, payload: object, options?: EventOptions & { source?: string }): AgentEvent;
}

/** One carrier with a bus that listens, in the ways that events can come to it. */
export async function world(
  context: TestContext,
  way: "direct" | "fed" | "group" = "direct",
  signatures: SignatureOptions = {},
  wrap: (transport: Transport) => Transport = (transport) => transport,
): Promise<World> {
  const clock = new VirtualClock(1_000_000);
  const random = new SeededRandom(1);
  const inner = memory({ clock });
  const carrier = way === "fed" ? limited(inner, { crossesProcess: true }) : inner;
  const transport = wrap(carrier);
  const made: Bus[] = [];
  const bus = (options: Partial<BusOptions> = {}): Bus => {
    const one = createBus({ transport, clock, random, ...options });
    made.push(one);
    return one;
  };
  context.after(async () => {
    for (const one of made) {
      const closing = one.close({ deadlineMs: 100 });
      await clock.advance(5_000);
      await closing;
    }
  });
  const seen: AgentEvent[] = [];
  const violations: AgentEvent[] = [];
  const listener = bus({
    identity: reader,
    source: "reader",
    signatures: { trusted, ...signatures },
  });
  const group = way === "group" ? { group: "all" } : {};
  await listener.subscribe("news.#", group, (event) => void seen.push(event));
  const watcher = bus();
  await watcher.subscribe("violation.detected", (event) => void violations.push(event));
  return {
    clock,
    transport,
    seen,
    violations,
    listener,
    bus,
    raw: async (event) => {
      const [result] = await transport.publish([{ event }]);
      assert.equal(result?.ok, true);
      await clock.advance(1);
    },
    make: (type, payload, { source = "writer", ...options } = {}) =>
      createEvent({ clock, random, source }, type, payload, options),
  };
}
