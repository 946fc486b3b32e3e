import assert from "node:assert/strict";
import { test } from "node:test";
import { refuses } from "./temporary.ts";
import { rabbitmqServerPath, startRabbitmqServer } from "./rabbitmq-server.ts";

const skip = rabbitmqServerPath() === undefined ? "there is no rabbitmq-server here" : false;

test(
  "a server starts, is killed, comes back on its port, and is gone when stopped",
  { skip },
  async () => {
    await using server = await startRabbitmqServer();
    const firstPid = server.pid;
    assert.equal(await refuses(server.port), false);
    await server.kill();
    assert.equal(server.pid, undefined);
    assert.equal(await refuses(server.port), true);
    await server.restart();
    assert.notEqual(server.pid, firstPid);
    assert.equal(await refuses(server.port), false);
    await server.stop();
    await server.stop();
    assert.equal(await refuses(server.port), true);
  },
);
