/** Servers that take nothing for a while: full, a replica, down. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Redis } from "ioredis";
import { isCadreError, type Transport } from "cadre";
import { redis, type RedisOptions } from "cadre/redis";
import { redisServerPath, startRedisServer, type RedisServer } from "../../servers/redis-server.ts";
import { makeEvent, specOf, takeOne } from "../plain-events.ts";

const skip = redisServerPath() === undefined ? "there is no redis-server here" : false;
const options = { skip, timeout: 30_000 };

function openBoth(
  t: TestContext,
  server: RedisServer,
  settings: RedisOptions = {},
): { readonly transport: Transport; readonly admin: Redis } {
  const transport = redis(server.url, { pollMs: 100, requestTimeoutMs: 1_000, ...settings });
  const admin = new Redis(server.port, "127.0.0.1");
  t.after(() => transport.close());
  t.after(() => admin.disconnect());
  return { transport, admin };
}

/** The code of the error of a publish; nothing when it succeeded. */
async function codeOf(transport: Transport): Promise<string | undefined> {
  const [result] = await transport.publish([{ event: makeEvent("task.made") }]);
  if (result!.ok) return undefined;
  assert.ok(isCadreError(result!.error), String(result!.error));
  return result!.error.code;
}

test(
  "a full server refuses with STORE_FULL, and takes again when it has room",
  options,
  async (t) => {
    await using server = await startRedisServer();
    const { transport, admin } = openBoth(t, server);
    assert.equal(await codeOf(transport), undefined);
    await admin.config("SET", "maxmemory", "1");
    assert.equal(await codeOf(transport), "STORE_FULL");
    await admin.config("SET", "maxmemory", "0");
    assert.equal(await codeOf(transport), undefined);
  },
);

test(
  "a primary that became a replica refuses, and goes on when it is one again",
  options,
  async (t) => {
    await using server = await startRedisServer();
    const { transport, admin } = openBoth(t, server);
    const intake = await transport.open(specOf("task"));
    await admin.replicaof("127.0.0.1", 1);
    assert.match(String(await codeOf(transport)), /^(?:UNREACHABLE|TIMEOUT)$/);
    await admin.replicaof("NO", "ONE");
    const until = Date.now() + 5_000;
    while ((await codeOf(transport)) !== undefined && Date.now() < until);
    assert.ok(await takeOne(intake));
  },
);

test(
  "while the server is down publishes are refused in time, then all goes on",
  options,
  async (t) => {
    await using server = await startRedisServer();
    const { transport } = openBoth(t, server);
    const group = await transport.open(specOf("task"));
    const news = await transport.open(specOf("task", { mode: "broadcast", subscription: "news" }));
    const waiting = [group.pull(1, AbortSignal.timeout(20_000)), takeOne(news, 20_000)];
    waiting.forEach((pull) => void pull.catch(() => {})); // told below, or after its time
    await server.kill();
    const startedAt = Date.now();
    assert.match(String(await codeOf(transport)), /^(?:UNREACHABLE|TIMEOUT)$/);
    assert.ok(Date.now() - startedAt < 4_000);
    assert.equal((await transport.health!()).ok, false);
    await server.restart();
    const until = Date.now() + 8_000;
    while ((await codeOf(transport)) !== undefined && Date.now() < until);
    assert.equal((await transport.health!()).ok, true);
    await Promise.allSettled(waiting);
    assert.equal(await codeOf(transport), undefined);
    for (const intake of [group, news]) assert.ok(await takeOne(intake));
  },
);
