/** Programs of the old kind and ours on the same Kafka topics; theirs know nothing of Cadre. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  Admin,
  Consumer,
  Producer,
  stringDeserializers,
  stringSerializers,
} from "@platformatic/kafka";
import { CloudEvent, Kafka as KafkaBinding } from "cloudevents";
import { createBus, type AgentEvent, type Bus } from "cadre";
import { defineTask, legacyBridge, startCadre } from "cadre/agents";
import { kafka, type KafkaOptions } from "cadre/kafka";
import { until } from "../../until.ts";
import { kafkaServerPath, startKafkaServer, type KafkaServer } from "../../servers/kafka-server.ts";
import { answersOf, meant, recorded, type OlderMessage } from "../older-programs.ts";

const skip = kafkaServerPath() === undefined ? "there is no Kafka here" : false;
const options = { skip, timeout: 60_000 };
let server: KafkaServer | undefined;
if (!skip) server = await startKafkaServer();
after(() => server?.stop());

// The topics that such systems have, by the first word of our types.
const topicNames = { task: "maf.tasks", agent: "maf.agents", status: "maf.status" };

function busOn(prefix: string, more: KafkaOptions = {}): Bus {
  const transport = kafka(server!.url, { prefix, partitions: 2, ...more });
  return createBus({ transport, source: "cadre" });
}

/** A program that has a Kafka client, and nothing of ours. */
class PlainProgram {
  readonly lines: { readonly topic: string; readonly value: string }[] = [];
  readonly #client = { clientId: "python", bootstrapBrokers: [`127.0.0.1:${server!.port}`] };
  readonly #producer = new Producer({ ...this.#client, serializers: stringSerializers });
  readonly #consumer = new Consumer({
    ...this.#client,
    groupId: `python-${Math.trunc(performance.now() * 1_000)}`,
    deserializers: stringDeserializers,
  });
  #reading: Promise<void> = Promise.resolve();
  #end: () => Promise<void> = () => Promise.resolve();

  async createTopics(topics: string[]): Promise<void> {
    const admin = new Admin(this.#client);
    await admin.createTopics({ topics, partitions: 2, replicas: 1 });
    await admin.close();
  }

  async read(topics: string[], onLine: (line: string) => Promise<void>): Promise<void> {
    const stream = await this.#consumer.consume({ topics, mode: "earliest", autocommit: false });
    this.#end = () => stream.close();
    this.#reading = (async () => {
      for await (const { topic, value } of stream) {
        this.lines.push({ topic, value });
        await onLine(value);
      }
    })();
  }

  async write(topic: string, value: string, headers: Record<string, string> = {}): Promise<void> {
    await this.#producer.send({ messages: [{ topic, value, headers }] });
  }

  async close(): Promise<void> {
    await this.#end();
    await this.#reading;
    await this.#consumer.close(true);
    await this.#producer.close();
  }
}

const topicOf = (line: string): string => {
  const { event_type } = JSON.parse(line) as OlderMessage;
  if (event_type.startsWith("TASK_")) return "maf.tasks";
  return event_type.startsWith("AGENT_") ? "maf.agents" : "maf.status";
};

test(
  "a Cadre bus hears what older programs have recorded, each under its type",
  options,
  async () => {
    const python = new PlainProgram();
    const bus = busOn("maf", { format: "maf", topicNames });
    try {
      await python.createTopics(["maf.tasks", "maf.agents", "maf.status"]);
      const heard: AgentEvent[] = [];
      const patterns = { group: "all", also: ["agent.#", "status.#", "custom.#", "system.#"] };
      await bus.subscribe("task.#", patterns, (event) => void heard.push(event));
      for (const line of recorded) await python.write(topicOf(line), line);
      await until(() => heard.length === recorded.length, "all of the recording");
      assert.deepEqual(heard.map(({ type }) => type).toSorted(), meant.toSorted());
      const created = heard.find(({ type }) => type === "task.created")!;
      assert.equal(created.timestamp, Date.UTC(2024, 2, 5, 9, 15, 0, 0));
      assert.equal(created.metadata.correlationId, "feature-12");
      assert.deepEqual((created.payload as { parameters: unknown }).parameters, { issue: 104 });
      assert.equal(
        heard.find(({ type }) => type === "task.assigned")!.metadata.target,
        "CoderAgent",
      );
      const beat = heard.find(({ type }) => type === "agent.heartbeat")!;
      assert.equal(beat.timestamp, 1_709_630_115_250);
      assert.equal(beat.metadata.extensions?.["/sequence"], 17);
    } finally {
      await bus.close();
      await python.close();
    }
  },
);

test(
  "an older agent does our task over the topics, and reads its messages as it always did",
  options,
  async () => {
    const python = new PlainProgram();
    const names = { task: "team.tasks", agent: "team.agents" };
    const bus = busOn("team", { format: "maf", topicNames: names });
    const WriteCode = defineTask<{ issue: number }, { patch: string }>({ name: "write.code" });
    const bridge = legacyBridge({ bus, agents: [{ name: "CoderAgent", does: [WriteCode] }] });
    const team = await startCadre({ agents: bridge.agents });
    try {
      await python.createTopics(["team.tasks", "team.agents"]);
      await python.read(["team.tasks"], async (line) => {
        for (const answer of answersOf(line)) {
          const { event_type } = JSON.parse(answer) as OlderMessage;
          await python.write(
            event_type.startsWith("AGENT_") ? "team.agents" : "team.tasks",
            answer,
          );
        }
      });
      const running = await bridge.start(team);
      const handle = await team.tasks.create(WriteCode, { issue: 7 });
      assert.deepEqual(await handle.result({ timeoutMs: 30_000 }), { patch: "+1" });
      const ours = python.lines.map(({ value }) => JSON.parse(value) as OlderMessage);
      const [assigned] = ours.filter(({ source }) => source === "cadre");
      assert.equal(assigned!.event_type, "TASK_ASSIGNED");
      assert.equal(assigned!.target, "CoderAgent");
      assert.deepEqual(assigned!.payload, {
        task_id: handle.id,
        task_type: "write.code",
        parameters: { issue: 7 },
        priority: "normal",
        assignment: 1,
        agent_id: "CoderAgent",
      });
      await running.close();
    } finally {
      await team.close();
      await bus.close();
      await python.close();
    }
  },
);

test("the format of a topic is chosen by its pattern, and by the URL", options, async () => {
  const python = new PlainProgram();
  const bus = createBus({
    transport: kafka(`${server!.url}?prefix=mixed&format=platform&partitions=1`, {
      formats: [{ pattern: "task.#", format: "maf" }],
    }),
    source: "cadre",
  });
  try {
    await python.createTopics(["mixed.task", "mixed.memory"]);
    await bus.publish("task.created", { task_id: "1" });
    await bus.publish("memory.created", { id: "m" });
    await python.read(["mixed.task", "mixed.memory"], () => Promise.resolve());
    await until(() => python.lines.length === 2, "both messages");
    const [first, second] = python.lines
      .toSorted((a, b) => (a.topic < b.topic ? 1 : -1))
      .map(({ value }) => JSON.parse(value) as Record<string, unknown>);
    assert.equal(first!["event_type"], "TASK_CREATED");
    assert.equal(second!["event_type"], "memory.created");
    assert.equal(second!["source_service"], "cadre");
  } finally {
    await bus.close();
    await python.close();
  }
});

test("the CloudEvents SDK's messages for Kafka are read, in both modes", options, async () => {
  const python = new PlainProgram();
  const bus = busOn("sdk");
  try {
    await python.createTopics(["sdk.order"]);
    const heard: AgentEvent[] = [];
    await bus.subscribe("order.#", { group: "g" }, (event) => void heard.push(event));
    const said = { type: "order.placed", source: "/shop", data: { total: 5 } };
    const binary = KafkaBinding.binary(new CloudEvent({ ...said, id: "b" }));
    const structured = KafkaBinding.structured(new CloudEvent({ ...said, id: "s" }));
    for (const { headers, value } of [binary, structured] as readonly KafkaWritten[]) {
      const text = typeof value === "string" ? value : JSON.stringify(value);
      const set = Object.entries(headers).filter(([, header]) => header !== undefined);
      await python.write("sdk.order", text, Object.fromEntries(set) as Record<string, string>);
    }
    await until(() => heard.length === 2, "both events");
    assert.deepEqual(heard.map(({ id }) => id).toSorted(), ["b", "s"]);
    for (const { payload, source } of heard)
      assert.deepEqual([payload, source], [{ total: 5 }, "/shop"]);
  } finally {
    await bus.close();
    await python.close();
  }
});

interface KafkaWritten {
  readonly headers: Record<string, string | undefined>;
  readonly value?: unknown;
}
