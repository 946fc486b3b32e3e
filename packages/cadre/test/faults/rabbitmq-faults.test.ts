/** The checks of the suite that stop the server and cut its connections. */
import { after, test } from "node:test";
import { rabbitmq } from "cadre/rabbitmq";
import { transportConformance } from "cadre/testing";
import { rabbitmqServerPath, startRabbitmqServer } from "../servers/rabbitmq-server.ts";
import { startCuttingProxy } from "../drivers/nats/cutting-proxy.ts";

if (rabbitmqServerPath() === undefined) {
  const skip = "there is no rabbitmq-server here";
  test("the suite's faults on a real server", { skip }, () => {});
} else {
  const server = await startRabbitmqServer();
  const proxy = await startCuttingProxy(server.port);
  after(async () => {
    await proxy.close();
    await server.stop();
  });
  await transportConformance({
    test,
    createTransport: () => rabbitmq(`amqp://guest:guest@127.0.0.1:${proxy.port}`),
    restart: () => server.restart(),
    cut: () => proxy.cut(),
    only: ["T-6", "T-24", "T-70", "T-71"],
    timeoutMs: 180_000,
  });
}
