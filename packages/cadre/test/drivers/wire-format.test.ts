/** Older programs and ours on NATS, Redis and RabbitMQ: theirs are plain clients. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { connect as connectNats } from "@nats-io/transport-node";
import { connect as connectRabbit } from "amqplib";
import { createBus, isCadreError, systemClock } from "cadre";
import type { AgentEvent, Transport, WireOptions } from "cadre";
import { defineTask, legacyBridge, startCadre } from "cadre/agents";
import { nats } from "cadre/nats";
import { rabbitmq } from "cadre/rabbitmq";
import { redis } from "cadre/redis";
import { Redis } from "ioredis";
import { until } from "../until.ts";
import { natsServerPath, startNatsServer } from "../servers/nats-server.ts";
import { rabbitmqServerPath, startRabbitmqServer } from "../servers/rabbitmq-server.ts";
import { redisServerPath, startRedisServer } from "../servers/redis-server.ts";
import { answersOf, meant, recorded, type OlderMessage } from "./older-programs.ts";

/** One of the older systems' programs. */
interface PlainProgram {
  /** @param type what the message means to Cadre: carriers that route by it need it */
  write(type: string, line: string): Promise<void>;
  /** All that Cadre has written so far goes to `onLine`, and what follows. */
  read(onLine: (line: string, headers: Readonly<Record<string, string>>) => void): Promise<void>;
  close(): Promise<void>;
}

interface Carrier {
  readonly name: string;
  readonly isHere: boolean;
  start(): Promise<{ readonly url: string; stop(): Promise<void> }>;
  transport(url: string, prefix: string, options: WireOptions): Transport;
  program(url: string, prefix: string): Promise<PlainProgram>;
}

const onNats: Carrier = {
  name: "nats",
  isHere: natsServerPath() !== undefined,
  start: () => startNatsServer(),
  transport: (url, prefix, options) => nats(url, { prefix, ...options }),
  async program(url, prefix) {
    const client = await connectNats({ servers: url.replace("nats://", "") });
    return {
      write: async (type, line) => {
        client.publish(`${prefix}.e.${type}._`, line);
        await client.flush();
      },
      read: async (onLine) => {
        client.subscribe(`${prefix}.e.>`, {
          callback: (_error, message) => {
            const { headers } = message;
            const names = headers?.keys() ?? [];
            onLine(
              message.string(),
              Object.fromEntries(names.map((name) => [name.toLowerCase(), headers!.get(name)])),
            );
          },
        });
        await client.flush();
      },
      close: () => client.close(),
    };
  },
};

const onRedis: Carrier = {
  name: "redis",
  isHere: redisServerPath() !== undefined,
  start: () => startRedisServer(),
  transport: (url, prefix, options) =>
    redis(url, { prefix, streams: "single", pollMs: 50, ...options }),
  program(url, prefix) {
    const open = (): Redis => new Redis(Number(new URL(url).port), "127.0.0.1", { protocol: 2 });
    const [writer, reader] = [open(), open()];
    const stream = `{${prefix}}:e:all`;
    let isOpen = true;
    return Promise.resolve({
      write: async (_type, line) => void (await writer.xadd(stream, "*", "event", line)),
      read: (onLine) => {
        let from = "0-0";
        const follow = async (): Promise<void> => {
          while (isOpen) {
            const answer = await reader.xread("BLOCK", 100, "STREAMS", stream, from);
            for (const [id, fields] of answer?.[0]?.[1] ?? []) {
              from = id;
              onLine(fields[fields.indexOf("event") + 1]!, {});
            }
          }
        };
        void follow().catch(() => undefined); // ends with its connection
        return Promise.resolve();
      },
      close: () => {
        isOpen = false;
        writer.disconnect();
        reader.disconnect();
        return Promise.resolve();
      },
    });
  },
};

const onRabbitmq: Carrier = {
  name: "rabbitmq",
  isHere: rabbitmqServerPath() !== undefined,
  start: () => startRabbitmqServer(),
  transport: (url, prefix, options) => rabbitmq(url, { prefix, ...options }),
  async program(url, prefix) {
    const client = await connectRabbit(url);
    const channel = await client.createConfirmChannel();
    return {
      write: async (type, line) => {
        channel.publish(prefix, type, Buffer.from(line));
        await channel.waitForConfirms();
      },
      read: async (onLine) => {
        const { queue } = await channel.assertQueue("", { exclusive: true });
        await channel.bindQueue(queue, prefix, "#");
        await channel.consume(
          queue,
          (message) => {
            if (!message) return;
            const { headers = {} } = message.properties;
            const texts = Object.entries(headers).filter(([, value]) => typeof value === "string");
            onLine(message.content.toString(), Object.fromEntries(texts));
          },
          { noAck: true },
        );
      },
      close: () => client.close(),
    };
  },
};

for (const carrier of [onNats, onRedis, onRabbitmq]) {
  const { name, isHere } = carrier;
  const options = { skip: isHere ? false : `there is no ${name} server here`, timeout: 60_000 };
  const server = isHere ? await carrier.start() : undefined;
  after(() => server?.stop());

  test(`${name}: a bus hears what older programs have recorded`, options, async () => {
    const bus = createBus({ transport: carrier.transport(server!.url, "maf", { format: "maf" }) });
    try {
      const heard: AgentEvent[] = [];
      await bus.subscribe("#", { group: "all" }, (event) => void heard.push(event));
      const python = await carrier.program(server!.url, "maf");
      for (const [at, line] of recorded.entries()) await python.write(meant[at]!, line);
      await until(() => heard.length === recorded.length, "all of the recording");
      assert.deepEqual(heard.map(({ type }) => type).toSorted(), meant.toSorted());
      await python.close();
    } finally {
      await bus.close();
    }
  });

  test(`${name}: an older agent does our task and never knows`, options, async () => {
    const transport = carrier.transport(server!.url, "team", { format: "maf" });
    const bus = createBus({ transport, source: "cadre" });
    const WriteCode = defineTask<{ issue: number }, { patch: string }>({ name: "write.code" });
    const bridge = legacyBridge({ bus, agents: [{ name: "CoderAgent", does: [WriteCode] }] });
    const team = await startCadre({ agents: bridge.agents });
    const running = await bridge.start(team);
    const python = await carrier.program(server!.url, "team");
    const seen: OlderMessage[] = [];
    try {
      await python.read((line) => {
        seen.push(JSON.parse(line) as OlderMessage);
        const types = ["task.started", "agent.heartbeat", "task.completed"];
        for (const [at, answer] of answersOf(line).entries()) void python.write(types[at]!, answer);
      });
      const handle = await team.tasks.create(WriteCode, { issue: 7 });
      assert.deepEqual(await handle.result({ timeoutMs: 20_000 }), { patch: "+1" });
      const assigned = seen.find(({ source }) => source === "cadre")!;
      assert.deepEqual([assigned.event_type, assigned.target], ["TASK_ASSIGNED", "CoderAgent"]);
    } finally {
      await running.close();
      await team.close();
      await bus.close();
      await python.close();
    }
  });

  test(
    `${name}: what Cadre writes in each format, it reads whatever it writes itself`,
    options,
    async () => {
      const heard: AgentEvent[] = [];
      const reading = createBus({ transport: carrier.transport(server!.url, "mixed", {}) });
      await reading.subscribe("#", { group: "all" }, (event) => void heard.push(event));
      const python = await carrier.program(server!.url, "mixed");
      const lines: { readonly line: string; readonly headers: Readonly<Record<string, string>> }[] =
        [];
      await python.read((line, headers) => void lines.push({ line, headers }));
      const formats: WireOptions = {
        format: "cloudevents-binary",
        formats: [
          { pattern: "task.#", format: "maf" },
          { pattern: "memory.#", format: "platform" },
        ],
      };
      const writing = createBus({
        transport: carrier.transport(server!.url, "mixed", formats),
        source: "writer",
      });
      try {
        const sent = [
          await writing.publish("task.created", { task_id: "1" }, { priority: "high" }),
          await writing.publish("memory.created", { id: "m" }, { userId: "u" }),
          await writing.publish("note.written", { text: "ünï" }, { tenant: "t" }),
        ];
        await until(() => heard.length === 3 && lines.length === 3, "all three");
        const byId = (a: AgentEvent, b: AgentEvent): number => (a.id < b.id ? -1 : 1);
        assert.deepEqual(heard.toSorted(byId), sent.toSorted(byId));
        const types = lines.map(({ line, headers }) => {
          const body = JSON.parse(line) as Record<string, unknown>;
          const header = headers["ce-type"] ?? headers["cloudEvents_type"];
          return body["event_type"] ?? header ?? body["type"];
        });
        assert.deepEqual(
          new Set(types),
          new Set(["TASK_CREATED", "memory.created", "note.written"]),
        );
      } finally {
        await writing.close();
        await reading.close();
        await python.close();
      }
    },
  );

  test(`${name}: what is no event is a dead letter with its reason`, options, async () => {
    const bus = createBus({ transport: carrier.transport(server!.url, "bad", {}) });
    try {
      await bus.subscribe("task.#", { group: "g", retry: { maxAttempts: 1 } }, () => {});
      const python = await carrier.program(server!.url, "bad");
      await python.write("task.created", '{"event_type": "TASK_CREATED", "payload": {"x": NaN}}');
      let reason: string | undefined;
      const end = systemClock.monotonic() + 20_000;
      while (reason === undefined && systemClock.monotonic() < end) {
        await systemClock.sleep(20);
        for await (const letter of bus.deadLetters.list()) reason = letter.error.message;
      }
      assert.match(reason ?? "", /it has NaN, which JSON does not have/);
      await python.close();
    } finally {
      await bus.close();
    }
  });
}

test("a format that there is not is refused, in options and in URLs", () => {
  const refused = (run: () => unknown): void =>
    assert.throws(run, (error) => isCadreError(error, "INVALID_OPTION"));
  for (const open of [nats, redis, rabbitmq]) {
    const scheme = open === nats ? "nats" : open === redis ? "redis" : "amqp";
    refused(() => open(`${scheme}://h`, { format: "xml" as "maf" }));
    refused(() => open(`${scheme}://h`, { formats: [{ pattern: "a" }] as never }));
    refused(() => open(`${scheme}://h?format=xml`));
    assert.equal(open(`${scheme}://h?format=maf&prefix=p`).name.length > 0, true);
  }
  refused(() => nats("nats://h?formt=maf"));
  refused(() => redis("redis://h?formt=maf"));
});
