import { after, test } from "node:test";
import { rabbitmq } from "cadre/rabbitmq";
import { transportConformance } from "cadre/testing";
import { rabbitmqServerPath, startRabbitmqServer } from "../../servers/rabbitmq-server.ts";

if (rabbitmqServerPath() === undefined) {
  test("the suite on a real server", { skip: "there is no rabbitmq-server here" }, () => {});
} else {
  const server = await startRabbitmqServer();
  after(() => server.stop());
  await transportConformance({
    test,
    createTransport: () => rabbitmq(server.url),
    restart: () => server.restart(),
  });
}
