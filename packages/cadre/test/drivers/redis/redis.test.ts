import { after, test } from "node:test";
import { redis } from "cadre/redis";
import { transportConformance } from "cadre/testing";
import { redisServerPath, startRedisServer } from "../../servers/redis-server.ts";

if (redisServerPath() === undefined) {
  test("the suite on a real server", { skip: "there is no redis-server here" }, () => {});
} else {
  const server = await startRedisServer();
  after(() => server.stop());
  await transportConformance({
    test,
    createTransport: () => redis(server.url, { durable: "disk" }),
    restart: () => server.restart(),
  });
}
