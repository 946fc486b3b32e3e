/** The checks of the suite that stop the server and cut its connections. */
import { after, test } from "node:test";
import { nats } from "cadre/nats";
import { transportConformance } from "cadre/testing";
import { natsServerPath, startNatsServer } from "../../servers/nats-server.ts";
import { startCuttingProxy } from "./cutting-proxy.ts";

if (natsServerPath() === undefined) {
  test("the suite's faults on a real server", { skip: "there is no nats-server here" }, () => {});
} else {
  const server = await startNatsServer();
  const proxy = await startCuttingProxy(server.port);
  after(async () => {
    await proxy.close();
    await server.stop();
  });
  await transportConformance({
    test,
    createTransport: () => nats(`nats://127.0.0.1:${proxy.port}`),
    restart: () => server.restart(),
    cut: () => proxy.cut(),
    only: ["T-6", "T-24", "T-70", "T-71"],
  });
}
