import { after, test } from "node:test";
import { eventbridge } from "cadre/eventbridge";
import { transportConformance } from "cadre/testing";
import { motoConnection, motoMissing, startMotoServer } from "../../servers/moto-server.ts";

const missing = motoMissing();
if (missing !== false) {
  test("the suite on the stand-in server", { skip: missing }, () => {});
} else {
  const server = await startMotoServer();
  after(() => server.stop());
  const url = `eventbridge://us-east-1/conformance?endpoint=${server.endpoint}`;
  const reason = "the stand-in keeps all in memory: what is killed has lost it";
  await transportConformance({
    test,
    createTransport: () => eventbridge(url, { connection: motoConnection, waitMs: 1_000 }),
    leaseMs: 1_500, // SQS counts in whole seconds, and a busy machine takes some of them
    boundMs: 30_000, // Python is slow where tests run side by side
    notApplicable: ["T-6", "T-35", "T-35b"].map((check) => ({ check, reason })),
  });
}
