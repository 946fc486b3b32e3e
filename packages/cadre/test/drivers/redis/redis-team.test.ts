import { test } from "node:test";
import { redis } from "cadre/redis";
import { redisServerPath, startRedisServer } from "../../servers/redis-server.ts";
import { hearsEachOnce } from "../team-over-broker.ts";

const skip = redisServerPath() === undefined ? "there is no redis-server here" : false;

test(
  "an agent hears each fact of another process's team, and its effects happen once",
  { skip, timeout: 60_000 },
  async () => {
    await using server = await startRedisServer();
    await hearsEachOnce(`${server.url}?prefix=notes`, redis);
  },
);
