/** A plain NATS client reads what we write, and the CloudEvents SDK parses it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as openSocket } from "node:net";
import { test } from "node:test";
import { connect } from "@nats-io/transport-node";
import { CloudEvent, HTTP } from "cloudevents";
import { createEvent, secureRandom, systemClock, type AgentEvent } from "cadre";
import { nats } from "cadre/nats";
import { natsServerPath, startNatsServer } from "../../servers/nats-server.ts";

const skip = natsServerPath() === undefined ? "there is no nats-server here" : false;

function makeEvent(payload: unknown): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source: "writer" };
  return createEvent(context, "task.created", payload, { key: "k1" });
}

function assertReads(event: AgentEvent, body: string, headers: Record<string, string>): void {
  const read = HTTP.toEvent<unknown>({ headers, body });
  assert.ok(read instanceof CloudEvent && read.validate());
  assert.equal(read.id, event.id);
  assert.equal(read.type, "task.created");
  assert.equal(read.source, "writer");
  assert.deepEqual(read.data, event.payload);
}

test("a plain client hears an event on its subject, and the SDK reads it", { skip }, async () => {
  await using server = await startNatsServer();
  const client = await connect({ servers: server.url });
  const heard = client.subscribe("cadre.e.task.>", { max: 1 });
  await client.flush();
  const transport = nats(server.url);
  const event = makeEvent({ title: "ünï 💡", lines: 2 });
  const [result] = await transport.publish([{ event }]);
  assert.equal(result!.ok, true);
  for await (const message of heard) {
    assert.equal(message.subject, "cadre.e.task.created._");
    const type = message.headers?.get("Content-Type") ?? "";
    assert.match(type, /^application\/cloudevents\+json/);
    assertReads(event, message.string(), { "content-type": type });
  }
  await transport.close();
  await client.close();
});

test(
  "in binary mode the attributes are headers as the NATS binding has them",
  { skip },
  async () => {
    await using server = await startNatsServer();
    const client = await connect({ servers: server.url });
    const heard = client.subscribe("cadre.e.>", { max: 1 });
    await client.flush();
    const transport = nats(server.url, { format: "cloudevents-binary" });
    const event = makeEvent({ lines: 2 });
    await transport.publish([{ event }]);
    for await (const message of heard) {
      const headers: Record<string, string> = {};
      for (const name of message.headers?.keys() ?? []) {
        headers[name.toLowerCase()] = message.headers!.get(name);
      }
      assert.equal(headers["ce-id"], event.id);
      assertReads(event, message.string(), headers);
    }
    await transport.close();
    await client.close();
  },
);

test("the protocol by hand shows the same bytes", { skip }, async () => {
  await using server = await startNatsServer();
  const socket = openSocket(server.port, "127.0.0.1");
  let said = "";
  socket.setEncoding("utf8").on("data", (text: string) => (said += text));
  await once(socket, "connect");
  const connecting = JSON.stringify({ verbose: false, pedantic: false, headers: true });
  socket.write(`CONNECT ${connecting}\r\nSUB cadre.e.> 1\r\nPING\r\n`);
  const end = systemClock.monotonic() + 5_000;
  while (!said.includes("PONG") && systemClock.monotonic() < end) await systemClock.sleep(2);
  const transport = nats(server.url);
  const event = makeEvent({ plain: true });
  await transport.publish([{ event }]);
  while (!said.includes("}\r\n") && systemClock.monotonic() < end) await systemClock.sleep(2);
  assert.match(said, /HMSG cadre\.e\.task\.created\._ 1 /);
  const body = /^\{.*\}$/m.exec(said.slice(said.indexOf("HMSG")))?.[0] ?? "";
  assertReads(event, body, { "content-type": "application/cloudevents+json" });
  socket.destroy();
  await transport.close();
});
