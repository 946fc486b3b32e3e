import { test } from "node:test";
import { memoryCarrier } from "#src/bus/memory-transport.ts";
import { transportConformance } from "#src/testing/transport-conformance.ts";

const carrier = memoryCarrier();
const noConnection = "it is in this process: there is no connection";

await transportConformance({
  test,
  createTransport: () => carrier.connect(),
  tier: "all",
  parallel: 10,
  leaseMs: 300,
  boundMs: 10_000,
  notApplicable: [
    ...["T-71", "T-72", "T-73"].map((check) => ({ check, reason: noConnection })),
    { check: "T-74", reason: "it ends with its process" },
    { check: "T-77", reason: "it writes to no disk" },
  ],
});
