/**
 * Two teams, each with a store of its own, in two processes: facts go from one store over Kafka to
 * the agents of the other.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock, type AgentEvent } from "cadre";
import { defineAgent, startCadre } from "cadre/agents";
import { kafka } from "cadre/kafka";
import { kafkaServerPath, startKafkaServer } from "../../servers/kafka-server.ts";
import { withTempFolder } from "../../servers/temporary.ts";
import { noteEvents } from "../nats/note-team.ts";

const skip = kafkaServerPath() === undefined ? "there is no Kafka here" : false;
const timeout = 60_000;
const notes = 20;
const writerTeam = fileURLToPath(new URL("../nats/team-process.ts", import.meta.url));

async function until(holds: () => boolean, what: string): Promise<void> {
  const end = systemClock.monotonic() + 20_000;
  while (!holds()) {
    if (systemClock.monotonic() > end) throw new Error(`${what} did not happen in time`);
    await systemClock.sleep(5);
  }
}

async function startWriters(bus: string, store: string): Promise<ChildProcess> {
  const child = fork(writerTeam, [bus, store]);
  const [ready] = await once(child, "message");
  assert.equal(ready, "ready");
  return child;
}

async function endWriters(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.send("end");
  const [code] = await exited;
  assert.equal(code, 0, "the other process ends by itself when its team has closed");
}

async function hearEachOnce(folder: string): Promise<void> {
  await using server = await startKafkaServer();
  const bus = `${server.url}?prefix=notes`;
  const heard: AgentEvent[] = [];
  const reader = defineAgent({ name: "reader", capacity: 4 }).on(
    "note.written",
    async (event, ctx) => {
      heard.push(event);
      const { text } = event.payload as { text: string };
      await ctx.publish("note.read", { text, of: event.id });
    },
  );
  await using team = await startCadre({
    agents: [reader],
    events: noteEvents,
    name: "readers",
    store: `sqlite:${join(folder, "readers.db")}`,
    bus,
  });
  const effects = new Map<string, number>();
  await team.bus.subscribe("note.read", ({ payload }) => {
    const { of } = payload as { of: string };
    effects.set(of, (effects.get(of) ?? 0) + 1);
  });
  const writers = await startWriters(bus, `sqlite:${join(folder, "writers.db")}`);
  writers.send(notes);
  const [results] = await once(writers, "message");
  assert.equal((results as string[]).length, notes);
  await until(() => effects.size === notes, "an effect for each note");

  // Every delivery once more, as after a crash between the effect and the ack.
  const again = kafka(bus);
  const copies = await again.publish(
    heard.map((event) => ({ event, to: { group: "agent.reader", attempt: 2 } })),
  );
  assert.ok(copies.every(({ ok }) => ok));
  writers.send(1);
  await once(writers, "message");
  await until(() => effects.size === notes + 1, "an effect for what came after");
  await systemClock.sleep(100); // for what must not come
  assert.deepEqual([...new Set(effects.values())], [1]);
  await again.close();
  await endWriters(writers);
}

test(
  "an agent hears each fact of another process's team, and its effects happen once",
  { skip, timeout },
  () => withTempFolder(hearEachOnce),
);
