import { redis } from "cadre/redis";
import { redisServerPath, startRedisServer } from "../../servers/redis-server.ts";
import { suiteOnServer } from "../../servers/suite-server.ts";

await suiteOnServer({
  variable: "CADRE_TEST_REDIS_URL",
  path: redisServerPath(),
  start: startRedisServer,
  open: (url) => redis(url, { durable: "disk" }),
});
