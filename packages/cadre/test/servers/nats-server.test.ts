import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { natsServerPath, startNatsServer } from "./nats-server.ts";
import { freePort, refuses, withTempFolder } from "./temporary.ts";

const skip = natsServerPath() === undefined ? "there is no nats-server here" : false;

/** What the server says first to who connects. */
async function greeting(port: number): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.setEncoding("utf8");
  const [text] = await once(socket, "data");
  socket.destroy();
  return text;
}

test("a started server greets with JetStream on", { skip }, async () => {
  await using server = await startNatsServer();
  assert.match(await greeting(server.port), /^INFO .*"jetstream":true/);
  assert.equal(server.url, `nats://127.0.0.1:${server.port}`);
});

test("two servers stand side by side", { skip }, async () => {
  await using first = await startNatsServer();
  await using second = await startNatsServer();
  assert.notEqual(first.port, second.port);
  assert.notEqual(first.pid, second.pid);
});

test("a killed server is down until its restart on the same port", { skip }, async () => {
  await using server = await startNatsServer();
  const firstPid = server.pid;
  await server.kill();
  assert.equal(server.pid, undefined);
  assert.equal(await refuses(server.port), true);
  await server.restart();
  assert.notEqual(server.pid, firstPid);
  assert.match(await greeting(server.port), /^INFO /);
});

test("a stopped server is gone, and stopping again does nothing", { skip }, async () => {
  const server = await startNatsServer();
  await server.stop();
  await server.stop();
  assert.equal(await refuses(server.port), true);
});

test("a free port can be bound", async () => {
  const server = createServer().listen(await freePort(), "127.0.0.1");
  await once(server, "listening");
  server.close();
});

test("a temporary folder is gone afterwards, also when its user throws", async () => {
  let seen = "";
  const use = async (folder: string): Promise<never> => {
    seen = folder;
    await writeFile(join(folder, "file"), "text");
    throw new Error("on purpose");
  };
  await assert.rejects(withTempFolder(use), /on purpose/);
  assert.notEqual(seen, "");
  assert.equal(existsSync(seen), false);
});
