import { test } from "node:test";
import { redis } from "cadre/redis";
import { transportConformance } from "cadre/testing";
import { redisServerPath, startRedisServer } from "../../servers/redis-server.ts";
import { suiteServer, suiteSkip } from "../../servers/suite-server.ts";

const variable = "CADRE_TEST_REDIS_URL";
const skip = suiteSkip(variable, redisServerPath());
if (skip !== undefined) {
  test("the suite on a real server", { skip }, () => {});
} else {
  const server = await suiteServer(variable, startRedisServer);
  await transportConformance({
    test,
    createTransport: () => redis(server.url, { durable: "disk" }),
    ...(server.restart && { restart: server.restart }),
  });
}
