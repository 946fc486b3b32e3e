/** Agents that are idle beside work, loops that are blocked, and agents that leave in order. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type, type AgentEvent, type EventStore } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { LagWatch } from "#src/agents/health/lag-watch.ts";
import { changed } from "../changed.ts";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });

type Fields = Readonly<Record<string, unknown>>;

/** After `deafen()` nothing that is read of the tasks' log is answered any more; beats go on. */
function deafStore(store: EventStore) {
  let isDeaf = false;
  const read: EventStore["read"] = (query = {}) => {
    if (!isDeaf || query.streamPrefix !== "task/") return store.read(query);
    return (async function* () {
      await new Promise<never>(() => {});
      yield* store.read(query);
    })();
  };
  const deaf = changed(store, { read });
  return { deaf, deafen: () => void (isDeaf = true) };
}

async function told(store: EventStore, status: string): Promise<readonly AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const { event } of store.read({ type: "status.updated" })) {
    if ((event.payload as { readonly status: string }).status === status) events.push(event);
  }
  return events;
}

test("an agent that beats, has room and claims nothing is found by the others, once", async () => {
  const bench = testTeam();
  const { deaf, deafen } = deafStore(bench.store);
  const witness = await bench.start({ name: "witness" });
  await bench.start({ agents: [defineAgent({ name: "deaf" }).does(Work, (n) => n)], store: deaf });
  await bench.start({ name: "other" });
  deafen();
  const heard: { readonly id: string; readonly fields: Fields }[] = [];
  await witness.bus.subscribe("status.updated", ({ id, payload }) => {
    heard.push({ id, fields: payload as Fields });
  });
  const task = await witness.tasks.create(Work, 1);
  await bench.clock.advance(20_000);
  assert.equal(heard.length, 0);
  await bench.clock.advance(120_000);
  const found = heard.filter(({ fields }) => fields["status"] === "idle");
  assert.equal(new Set(found.map(({ id }) => id)).size, 1);
  assert.equal(found[0]?.fields["agent"], "deaf");
  assert.equal(found[0]?.fields["taskId"], task.id);
  assert.match(
    String(found[0]?.fields["note"]),
    /has waited for \d+ ms beside deaf, which is free/,
  );
});

test("an agent that is full is not idle beside work", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "a" }).does(Work, async (n, ctx) => {
    await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
    return n;
  });
  const team = await bench.start({ agents: [agent], health: { stuckAfterMs: 1e9 } });
  await team.tasks.create(Work, 1);
  await team.tasks.create(Work, 2);
  await bench.clock.advance(120_000);
  assert.deepEqual(await told(bench.store, "idle"), []);
  await bench.close();
});

test("a blocked event loop is news once, and again when it is free", () => {
  const watch = new LagWatch(1_000);
  const lags = [0, 999, 1_000, 4_000, 600, 499, 10, 1_200];
  assert.deepEqual(
    lags.map((lag) => watch.look(lag)),
    [undefined, undefined, "blocked", undefined, undefined, "free", undefined, "blocked"],
  );
  assert.equal(new LagWatch(0).look(1e6), undefined);
});

test("agents that leave in order say so, once, whoever sees it", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [defineAgent({ name: "a" })] });
  const other = await bench.start({ name: "other", agents: [defineAgent({ name: "b" })] });
  const offline: Fields[] = [];
  await other.bus.subscribe("agent.offline", ({ payload }) => {
    offline.push(payload as Fields);
  });
  await bench.until(team.close());
  await bench.clock.advance(60_000);
  assert.deepEqual(
    offline.map(({ agent, status }) => [agent, status]),
    [["a", "left"]],
  );
  await bench.close();
});
