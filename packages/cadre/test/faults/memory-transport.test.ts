import { test } from "node:test";
import { memoryCarrier } from "#src/bus/memory-transport.ts";
import { transportConformance } from "#src/testing/transport-conformance.ts";

const carrier = memoryCarrier();

await transportConformance({
  test,
  createTransport: () => carrier.connect(),
  tier: "all",
  parallel: 10,
  leaseMs: 300,
  boundMs: 10_000,
});
