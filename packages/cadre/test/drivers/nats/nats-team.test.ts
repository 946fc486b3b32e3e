import assert from "node:assert/strict";
import { test } from "node:test";
import { startCadre } from "cadre/agents";
import { nats } from "cadre/nats";
import { natsServerPath, startNatsServer } from "../../servers/nats-server.ts";
import { until } from "../../until.ts";
import { noteEvents, WriteNote, writer } from "../note-team.ts";
import { hearsEachOnce } from "../team-over-broker.ts";

const skip = natsServerPath() === undefined ? "there is no nats-server here" : false;
const timeout = 60_000;

test("a team does tasks with its store here and its bus on NATS", { skip, timeout }, async () => {
  await using server = await startNatsServer();
  await using team = await startCadre({
    agents: [writer],
    events: noteEvents,
    store: "memory:",
    bus: server.url,
  });
  const told: string[] = [];
  await team.bus.subscribe("note.written", ({ payload }) => {
    told.push(payload.text);
  });
  const handle = await team.tasks.create(WriteNote, { text: "hello" });
  assert.equal(await handle.result(), "wrote hello");
  await until(() => told.length === 1, "the fact on the bus");
  assert.deepEqual(told, ["hello"]);
});

test(
  "an agent hears each fact of another process's team, and its effects happen once",
  { skip, timeout },
  async () => {
    await using server = await startNatsServer();
    await hearsEachOnce(server.url, nats);
  },
);
