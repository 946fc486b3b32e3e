/** A plain AMQP client reads what we write, and the CloudEvents SDK parses it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type ConsumeMessage } from "amqplib";
import { CloudEvent, HTTP } from "cloudevents";
import { createEvent, secureRandom, systemClock, type AgentEvent } from "cadre";
import { rabbitmq, type RabbitmqOptions } from "cadre/rabbitmq";
import { rabbitmqServerPath, startRabbitmqServer } from "../../servers/rabbitmq-server.ts";

const skip = rabbitmqServerPath() === undefined ? "there is no rabbitmq-server here" : false;

/** Publishes one event, and returns it as a queue of a plain client got it. */
async function hear(
  url: string,
  options: RabbitmqOptions,
): Promise<{ readonly event: AgentEvent; readonly message: ConsumeMessage }> {
  const transport = rabbitmq(url, options);
  const context = { clock: systemClock, random: secureRandom, source: "writer" };
  const event = createEvent(context, "task.created", { title: "ünï 💡", lines: 2 });
  await transport.publish([{ event: createEvent(context, "nobody.hears", {}) }]); // makes the exchange
  const client = await connect(url);
  const channel = await client.createChannel();
  const { queue } = await channel.assertQueue("", { exclusive: true });
  await channel.bindQueue(queue, "cadre", "task.#");
  const heard = new Promise<ConsumeMessage>((resolve) => {
    void channel.consume(queue, (message) => message && resolve(message), { noAck: true });
  });
  const [result] = await transport.publish([{ event }]);
  assert.equal(result!.ok, true);
  const message = await heard;
  await client.close();
  await transport.close();
  return { event, message };
}

function assertReads(event: AgentEvent, headers: Record<string, string>, body: string): void {
  const read = HTTP.toEvent<unknown>({ headers, body });
  assert.ok(read instanceof CloudEvent && read.validate());
  assert.equal(read.id, event.id);
  assert.equal(read.type, "task.created");
  assert.equal(read.source, "writer");
  assert.deepEqual(read.data, event.payload);
}

test("a plain client reads an event, and so does the CloudEvents SDK", { skip }, async () => {
  await using server = await startRabbitmqServer();
  const { event, message } = await hear(server.url, {});
  assert.equal(message.fields.exchange, "cadre");
  assert.equal(message.fields.routingKey, "task.created");
  assert.equal(message.properties.messageId, event.id);
  const type = String(message.properties.contentType);
  assert.match(type, /^application\/cloudevents\+json/);
  assertReads(event, { "content-type": type }, message.content.toString());

  const binary = await hear(server.url, { format: "cloudevents-binary" });
  const headers: Record<string, string> = { "content-type": binary.message.properties.contentType };
  for (const [name, value] of Object.entries(binary.message.properties.headers ?? {})) {
    // The AMQP binding's prefix; HTTP's, which the SDK reads, is `ce-`.
    const attribute = /^cloudEvents[:_](.*)$/.exec(name)?.[1];
    if (attribute !== undefined) headers[`ce-${attribute}`] = String(value);
  }
  assertReads(binary.event, headers, binary.message.content.toString());
});
