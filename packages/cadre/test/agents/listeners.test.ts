import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError } from "cadre";
import { defineAgent } from "cadre/agents";
import { testTeam } from "cadre/testing";

test("the agents of one name share the events of their patterns, and agents of two names hear all", async () => {
  const bench = testTeam();
  const heard: string[] = [];
  const ear = (name: string) =>
    defineAgent({ name }).on("custom.*", (event, ctx) => {
      heard.push(`${ctx.agent} ${event.type}`);
    });
  const team = await bench.start({ agents: [ear("left"), ear("right")] });
  await team.bus.publish("custom.one", {});
  await team.bus.publish("custom.two", {});
  await bench.clock.advance(1_000);
  assert.deepEqual(heard.sort(), [
    "left custom.one",
    "left custom.two",
    "right custom.one",
    "right custom.two",
  ]);
  await bench.close();
});

test("a step of an event's handler is not run again when the handler is", async () => {
  const bench = testTeam();
  const ran: string[] = [];
  let attempts = 0;
  const agent = defineAgent({ name: "agent" }).on("custom.paid", async (_event, ctx) => {
    attempts += 1;
    await ctx.step("ship", (key) => void ran.push(key));
    if (attempts === 1) throw new Error("after the step");
    await ctx.publish("custom.shipped", { attempts });
  });
  const team = await bench.start({ agents: [agent] });
  const shipped: unknown[] = [];
  await team.bus.subscribe("custom.shipped", (event) => void shipped.push(event.payload));
  const paid = await team.bus.publish("custom.paid", {});
  await bench.clock.advance(10_000);
  assert.equal(attempts, 2);
  assert.deepEqual(ran, [`agent.agent/0/${paid.id}/ship`]);
  assert.deepEqual(shipped, [{ attempts: 2 }]);
  await bench.close();
});

test("a handler's filter keeps from it what does not match", async () => {
  const bench = testTeam();
  const heard: unknown[] = [];
  const agent = defineAgent({ name: "agent" }).on(
    "custom.order",
    { filter: { "payload.amount": { $gte: 10 } } },
    (event) => void heard.push(event.payload),
  );
  const team = await bench.start({ agents: [agent] });
  for (const amount of [5, 10, 15]) await team.bus.publish("custom.order", { amount });
  await bench.clock.advance(1_000);
  assert.deepEqual(heard, [{ amount: 10 }, { amount: 15 }]);
  await bench.close();
});

test("state is a fold of the agent's own records", async () => {
  const bench = testTeam();
  const seen: number[] = [];
  const counter = defineAgent({
    name: "counter",
    state: { initial: 0, apply: (count) => count + 1 },
  }).on("custom.tick", (_event, ctx) => {
    seen.push(ctx.state);
    ctx.record("custom.counted", {});
  });
  const team = await bench.start({ agents: [counter] });
  for (let n = 0; n < 3; n += 1) {
    await team.bus.publish("custom.tick", {});
    await bench.clock.advance(500);
  }
  assert.deepEqual(seen, [0, 1, 2]);
  await bench.close();
});

test("the causal chain goes from the event through the handler to what it published", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "agent" }).on("custom.first", (_event, ctx) =>
    ctx.publish("custom.second", {}),
  );
  const team = await bench.start({ agents: [agent] });
  const seconds: { causationId?: string; correlationId: string }[] = [];
  await team.bus.subscribe("custom.second", (event) => void seconds.push(event.metadata));
  const first = await team.bus.publish("custom.first", {});
  await bench.clock.advance(1_000);
  assert.equal(seconds.length, 1);
  assert.equal(seconds[0]?.causationId, first.id);
  assert.equal(seconds[0]?.correlationId, first.id);
  await bench.close();
});

test("an agent answers a query about itself, and system.shutdown closes the team in order", async () => {
  const bench = testTeam();
  const team = await bench.start({
    agents: [defineAgent({ name: "reader", capacity: 3, capabilities: ["read"] })],
  });
  const reply = await bench.until(team.bus.request("agent.reader.query", {}));
  assert.equal((reply.payload as { capacity: number }).capacity, 3);
  await team.bus.publish("system.shutdown", { reason: "evening" });
  await bench.until(team.closed);
  await assert.rejects(team.bus.publish("custom.late", {}));
  await bench.close();
});

test("presence has edges: online, suspected, dead, returned, left", async () => {
  const bench = testTeam();
  const watcher = await bench.start();
  const edges: string[] = [];
  watcher.directory.watch(({ card, presence }) => void edges.push(`${card.agent} ${presence}`));
  const expectedVersion = "any";
  const card = {
    agent: "other",
    incarnation: "one",
    capabilities: [],
    specializations: [],
    capacity: 1,
    load: 0,
    waiting: 0,
    state: "running",
  };
  const slot = (beatAt: number): Promise<unknown> =>
    bench.store.commit({
      slots: [
        { name: "presence/one", expectedVersion, value: JSON.stringify({ beatAt, loopLagMs: 0 }) },
        { name: "presence/one/0", expectedVersion, value: JSON.stringify([card]) },
      ],
    });
  await slot(1);
  await bench.clock.advance(3_000);
  await bench.clock.advance(20_000);
  await slot(2);
  await bench.clock.advance(3_000);
  await bench.store.commit({
    slots: ["presence/one", "presence/one/0"].map((name) => ({
      name,
      expectedVersion,
      value: undefined,
    })),
  });
  await bench.clock.advance(3_000);
  assert.deepEqual(edges, [
    "other online",
    "other suspected",
    "other dead",
    "other returned",
    "other left",
  ]);
  await bench.close();
});

test("an agent that comes back with other patterns is told whose place in the log it would take", async () => {
  const bench = testTeam();
  const first = defineAgent({ name: "ear" }).on("custom.one", () => {});
  await bench.until((await bench.start({ agents: [first] })).close());
  const second = first.on("custom.two", () => {});
  await assert.rejects(bench.start({ agents: [second] }), (error: unknown) => {
    assert.ok(isCadreError(error, "GROUP_MISMATCH"));
    assert.match(error.message, /Agent "ear".*custom\.one.*cadre groups delete agent\.ear --yes/s);
    return true;
  });
  await bench.close();
});

test("a handler may sleep longer than any timeout", async () => {
  const bench = testTeam();
  const woken: number[] = [];
  const sleeper = defineAgent({ name: "sleeper" }).on("custom.night", async (_event, ctx) => {
    await ctx.sleep("night", 300_000); // ten times what a bare subscription allows
    woken.push(ctx.attempt);
  });
  const team = await bench.start({ agents: [sleeper] });
  await team.bus.publish("custom.night", {});
  await bench.until(bench.clock.sleep(400_000), 500_000);
  assert.deepEqual(woken, [1]);
  await bench.close();
});
