import { test } from "node:test";
import { memoryCarrier } from "#src/bus/memory-transport.ts";
import { transportConformance } from "#src/testing/transport-conformance.ts";
import { limited } from "./set-up.ts";

const carrier = memoryCarrier();

/** As poor as a broker may be: what is missing here, the bus does itself or refuses. */
await transportConformance({
  test: (name, run) => test(name, run),
  level: "bus",
  createTransport: () =>
    limited(carrier.connect(), {
      crossesProcess: true,
      maxRetryDelayMs: 0,
      priorities: false,
      reportsUnroutable: false,
      delayedPublish: false,
      keyOrder: ["block"],
    }),
});
