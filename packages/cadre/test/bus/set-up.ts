import type { TestContext } from "node:test";
import { createBus } from "#src/bus/create-bus.ts";
import type { Bus, BusError, BusOptions } from "#src/bus/bus.ts";
import { memory } from "#src/bus/memory-transport.ts";
import type { Capabilities, Transport } from "#src/bus/transport.ts";
import { VirtualClock } from "#src/core/clock.ts";
import { SeededRandom } from "#src/core/random.ts";

export interface SetUp {
  readonly clock: VirtualClock;
  readonly bus: Bus;
  readonly transport: Transport;
  readonly errors: BusError[];
}

/** A bus on virtual time, closed after the test. */
export function setUp(
  context: TestContext,
  options: Partial<BusOptions> & { readonly wrap?: (transport: Transport) => Transport } = {},
): SetUp {
  const clock = new VirtualClock();
  const { wrap, ...rest } = options;
  const inner = memory({ clock });
  const transport = wrap ? wrap(inner) : inner;
  const bus = createBus({ transport, clock, random: new SeededRandom(1), ...rest });
  const errors: BusError[] = [];
  bus.onError((error) => void errors.push(error));
  context.after(async () => {
    const closing = bus.close({ deadlineMs: 100 });
    await clock.advance(5_000);
    await closing;
  });
  return { clock, bus, transport, errors };
}

/** The same transport with other capabilities, and without its direct path unless it is asked for. */
export function limited(
  transport: Transport,
  capabilities: Partial<Capabilities>,
  changes: Partial<Transport> = {},
): Transport {
  return {
    name: "limited",
    capabilities: { ...transport.capabilities, ...capabilities },
    publish: (batch) => transport.publish(batch),
    open: (spec) => transport.open(spec),
    read: (query) => transport.read!(query),
    close: () => transport.close(),
    ...(transport.deadLetters ? { deadLetters: transport.deadLetters } : {}),
    ...changes,
  };
}
