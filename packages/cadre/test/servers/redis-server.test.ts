import assert from "node:assert/strict";
import { test } from "node:test";
import { Redis } from "ioredis";
import { redisServerPath, startRedisServer } from "./redis-server.ts";

const skip = redisServerPath() === undefined ? "there is no redis-server here" : false;

test("a killed server comes back on its port with what it had written", { skip }, async () => {
  await using server = await startRedisServer();
  const client = new Redis(server.port, "127.0.0.1");
  await client.set("key", "value");
  client.disconnect();
  const firstPid = server.pid;
  await server.kill();
  assert.equal(server.pid, undefined);
  await server.restart();
  assert.notEqual(server.pid, firstPid);
  const again = new Redis(server.port, "127.0.0.1");
  assert.equal(await again.get("key"), "value");
  again.disconnect();
});

test("a stopped server is gone, and stopping again does nothing", { skip }, async () => {
  const server = await startRedisServer({ appendfsync: "everysec" });
  await server.stop();
  await server.stop();
  const client = new Redis(server.port, "127.0.0.1", { retryStrategy: null, lazyConnect: true });
  client.on("error", () => {});
  await assert.rejects(client.connect());
});
