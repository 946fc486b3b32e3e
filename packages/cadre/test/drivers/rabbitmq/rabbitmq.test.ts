import { test } from "node:test";
import { rabbitmq } from "cadre/rabbitmq";
import { transportConformance } from "cadre/testing";
import { rabbitmqServerPath, startRabbitmqServer } from "../../servers/rabbitmq-server.ts";
import { suiteServer, suiteSkip } from "../../servers/suite-server.ts";

const variable = "CADRE_TEST_RABBITMQ_URL";
const skip = suiteSkip(variable, rabbitmqServerPath());
if (skip !== undefined) {
  test("the suite on a real server", { skip }, () => {});
} else {
  const server = await suiteServer(variable, startRabbitmqServer);
  await transportConformance({
    test,
    createTransport: () => rabbitmq(server.url),
    ...(server.restart && { restart: server.restart }),
  });
}
