/** Thirty kills of an archiver on each broker. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { nats } from "cadre/nats";
import { rabbitmq } from "cadre/rabbitmq";
import { redis } from "cadre/redis";
import { killArchivers } from "../outbox/archive-kills.ts";
import { natsServerPath, startNatsServer } from "../servers/nats-server.ts";
import { rabbitmqServerPath, startRabbitmqServer } from "../servers/rabbitmq-server.ts";
import { redisServerPath, startRedisServer } from "../servers/redis-server.ts";

const kills = 30;

const brokers = {
  nats: { path: natsServerPath(), start: () => startNatsServer(), connect: nats },
  rabbitmq: { path: rabbitmqServerPath(), start: () => startRabbitmqServer(), connect: rabbitmq },
  redis: { path: redisServerPath(), start: () => startRedisServer(), connect: redis },
};

for (const [name, { path, start, connect }] of Object.entries(brokers)) {
  const skip = path === undefined ? `there is no server of ${name} here` : false;
  test(`an archiver of ${name} loses nothing over ${kills} kills`, { skip }, async (context) => {
    await using server = await start();
    const { url } = server;
    const outcome = await killArchivers({ url, connect: () => connect(url), kills });
    context.diagnostic(JSON.stringify({ broker: name, ...outcome }));
    assert.equal(outcome.bites, kills);
  });
}
