/**
 * Two teams, each with a store of its own, in two processes: facts go from one store over a broker
 * to the agents of the other.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock, type AgentEvent, type Transport } from "cadre";
import { defineAgent, startCadre } from "cadre/agents";
import { withTempFolder } from "../servers/temporary.ts";
import { until } from "../until.ts";
import { noteEvents } from "./note-team.ts";

const notes = 20;

async function startWriters(bus: string, store: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL("writers-process.ts", import.meta.url)), [bus, store]);
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

/** An agent hears each fact of another process's team, and its effects happen once. */
export function hearsEachOnce(bus: string, open: (bus: string) => Transport): Promise<void> {
  return withTempFolder(async (folder) => {
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
    const texts = heard.map(({ payload }) => (payload as { text: string }).text);
    const expected = Array.from({ length: notes }, (_, n) => `note ${n}`);
    assert.deepEqual(texts.toSorted(), expected.toSorted());

    // Every delivery once more, as after a crash between the effect and the ack.
    const again = open(bus);
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
  });
}
