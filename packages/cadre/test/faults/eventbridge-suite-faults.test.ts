/** The suite's checks of faults, on the stand-in server with a fault proxy before it. */
import { after, test } from "node:test";
import { startFaultProxy, transportConformance } from "cadre/testing";
import { faultCarriers } from "./fault-carriers.ts";
import { startFaultMember } from "./fault-member.ts";

const carrier = faultCarriers["eventbridge"]!;
const reason = carrier.keepsNothing!;

if (carrier.skip !== false) {
  test("eventbridge: the suite with faults", { skip: carrier.skip }, () => {});
} else {
  const server = await carrier.start();
  const proxy = await startFaultProxy({ target: { port: server.port } });
  after(async () => {
    await proxy.close();
    await server.stop();
  });
  await transportConformance({
    test,
    createTransport: () => carrier.connect(proxy.port),
    ...proxy.controls,
    startConsumer: (spec) => startFaultMember(carrier, proxy.port, spec),
    leaseMs: 1_500, // SQS counts in whole seconds, and a busy machine takes some of them
    boundMs: 30_000,
    only: ["T-6", "T-24", "T-35", "T-70", "T-71", "T-72", "T-73", "T-74", "T-77", "T-80"],
    notApplicable: ["T-6", "T-35", "T-70", "T-77"].map((check) => ({ check, reason })),
    timeoutMs: 600_000, // Python makes each queue and each rule
  });
}
