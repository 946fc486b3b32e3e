import { test } from "node:test";
import { nats } from "cadre/nats";
import { transportConformance } from "cadre/testing";
import { natsServerPath, startNatsServer } from "../../servers/nats-server.ts";
import { suiteServer, suiteSkip } from "../../servers/suite-server.ts";

const variable = "CADRE_TEST_NATS_URL";
const skip = suiteSkip(variable, natsServerPath());
if (skip !== undefined) {
  test("the suite on a real server", { skip }, () => {});
} else {
  const server = await suiteServer(variable, startNatsServer);
  await transportConformance({
    test,
    createTransport: () => nats(server.url),
    ...(server.restart && { restart: server.restart }),
  });
}
