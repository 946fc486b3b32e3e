import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, type Cadre, type DirectoryQuery } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });

function follow(team: Cadre, query: DirectoryQuery) {
  const told: string[] = [];
  const end = team.directory.watch(query, ({ kind, entry }) => {
    told.push(`${kind} ${entry.card.agent} ${entry.card.state}`);
  });
  return { told, end };
}

test("a query is watched: who joins it, leaves it, and changes in it", async () => {
  const bench = testTeam();
  const watching = await bench.start();
  const early = await bench.start({
    agents: [defineAgent({ name: "early", capabilities: ["read"] })],
  });
  await bench.clock.advance(2_100);
  const { told, end } = follow(watching, { capability: "read", live: true });
  assert.deepEqual(told.splice(0), ["joined early running"]);
  await bench.start({
    agents: [
      defineAgent({ name: "late", capabilities: ["read"] }),
      defineAgent({ name: "other", capabilities: ["write"] }),
    ],
  });
  await bench.clock.advance(2_100);
  assert.deepEqual(told.splice(0), ["joined late running"]);
  await early.agents.pause("early");
  await bench.clock.advance(4_100);
  assert.deepEqual(told.splice(0), ["changed early paused"]);
  await bench.until(early.close());
  await bench.clock.advance(2_100);
  assert.deepEqual(told.splice(0), ["left early paused"]);
  end();
  await watching.agents.pause("late");
  await bench.clock.advance(6_000);
  assert.deepEqual(told, []);
  await bench.close();
});

test("an agent leaves a query by its presence too", async () => {
  const bench = testTeam();
  const watching = await bench.start();
  const expectedVersion = "any";
  const card = {
    agent: "other",
    incarnation: "one",
    capabilities: ["read"],
    specializations: [],
    capacity: 1,
    load: 0,
    waiting: 0,
    state: "running",
  };
  await bench.store.commit({
    slots: [
      { name: "presence/one", expectedVersion, value: JSON.stringify({ beatAt: 1, loopLagMs: 0 }) },
      { name: "presence/one/0", expectedVersion, value: JSON.stringify([card]) },
    ],
  });
  const { told } = follow(watching, { capability: "read", live: true });
  await bench.clock.advance(30_000);
  assert.deepEqual(told, ["joined other running", "changed other running", "left other running"]);
  await bench.close();
});

test("a task that nobody can take is told of at once, with who was seen last", async () => {
  const bench = testTeam();
  const asking = await bench.start();
  const said: unknown[] = [];
  await asking.bus.subscribe("status.updated", (event) => void said.push(event.payload));
  const handle = await asking.tasks.create(Work, 1);
  await bench.clock.advance(50);
  const note = 'no live agent offers "work", none was ever seen here';
  assert.deepEqual(said, [{ status: "unclaimed", taskId: handle.id, note }]);
  assert.equal(await handle.noAgent(), note);
  await asking.tasks.create(Work, 2);
  await bench.clock.advance(50);
  assert.equal(said.length, 1, "once for a capability");

  const agent = defineAgent({ name: "worker", capacity: 9 }).does(Work, (n) => n);
  const other = await bench.start({ agents: [agent] });
  assert.equal(await bench.until(handle.result()), 1);
  assert.equal(await handle.noAgent(), undefined);
  await asking.agents.pause("worker");
  await bench.clock.advance(4_100);
  const third = await asking.tasks.create(Work, 3);
  await bench.clock.advance(50);
  assert.equal(said.length, 2);
  assert.match(String(await third.noAgent()), /takes work: worker is paused/);
  await bench.until(other.close());
  await bench.close();
});

test("tasks that somebody may take are not told of", async () => {
  const bench = testTeam();
  const asking = await bench.start();
  const said: unknown[] = [];
  await asking.bus.subscribe("status.updated", (event) => void said.push(event.payload));
  // It started since the last heartbeat of who asks.
  const agent = defineAgent({ name: "worker" }).does(Work, (n) => n);
  await bench.start({ agents: [agent] });
  const handle = await asking.tasks.create(Work, 1);
  assert.equal(await bench.until(handle.result()), 1);
  assert.deepEqual(said, []);
  await bench.close();
});
