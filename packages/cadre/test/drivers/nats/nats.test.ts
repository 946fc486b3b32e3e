import { after, test } from "node:test";
import { nats } from "cadre/nats";
import { transportConformance } from "cadre/testing";
import { natsServerPath, startNatsServer } from "../../servers/nats-server.ts";

if (natsServerPath() === undefined) {
  test("the suite on a real server", { skip: "there is no nats-server here" }, () => {});
} else {
  const server = await startNatsServer();
  after(() => server.stop());
  await transportConformance({
    test,
    createTransport: () => nats(server.url),
    restart: () => server.restart(),
  });
}
