import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { rabbitmqServerPath, startRabbitmqServer } from "./rabbitmq-server.ts";

const skip = rabbitmqServerPath() === undefined ? "there is no rabbitmq-server here" : false;

async function refuses(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return false;
  } catch {
    return true;
  } finally {
    socket.destroy();
  }
}

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
