import assert from "node:assert/strict";
import { test } from "node:test";

import { CadreError, type, type EventStore } from "cadre";
import { defineAgent, defineTask, presencePresets, type Cadre } from "cadre/agents";
import { testTeam, type TestTeam } from "cadre/testing";
import { changed } from "../changed.ts";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });
const reader = defineAgent({ name: "reader", capabilities: ["read"] });

/** A store that one process loses, for reading, for writing, or for both. */
function losable(store: EventStore) {
  const lost = { reads: false, writes: false };
  const refuse = (isLost: boolean): void => {
    if (isLost) throw new CadreError("STORE_UNAVAILABLE", "lost", { path: "", reason: "test" });
  };
  const seen = changed(store, {
    commit: async (commit) => (refuse(lost.writes), store.commit(commit)),
    slots: async (prefix) => (refuse(lost.reads), store.slots(prefix)),
  });
  return { store: seen, lost };
}

/** Edges as a process sees them. */
function edgesOf(team: Cadre): string[] {
  const edges: string[] = [];
  team.directory.watch(({ card, presence }) => void edges.push(`${card.agent} ${presence}`));
  return edges;
}

async function pair(bench: TestTeam) {
  const own = losable(bench.store);
  const seeing = losable(bench.store);
  const beating = await bench.start({ agents: [reader], store: own.store });
  const watching = await bench.start({ store: seeing.store });
  return { beating, watching, own: own.lost, seeing: seeing.lost };
}

test("a heartbeat is one write for all agents of a process", async () => {
  const bench = testTeam();
  const writes: number[] = [];
  const store = changed(bench.store, {
    commit: (commit) => {
      const beats = commit.slots?.filter((slot) => slot.name.startsWith("presence/"));
      if (beats?.length) writes.push(beats.length);
      return bench.store.commit(commit);
    },
  });
  const agents = Array.from({ length: 200 }, (_, n) => defineAgent({ name: `agent-${n}` }));
  await bench.start({ agents, store });
  assert.deepEqual(writes, [5], "the pulse and 200 cards in fours");
  await bench.clock.advance(10_000);
  assert.deepEqual(writes.slice(1), [1, 1, 1, 1, 1]);
  const watching = await bench.start();
  assert.equal(watching.directory.find().length, 200);
  await bench.close();
});

test("a card carries version, specializations, load and what its process takes", async () => {
  const bench = testTeam();
  const agent = defineAgent({
    name: "worker",
    version: "2.1.0",
    specializations: ["law"],
    capacity: 3,
  }).does(Work, (n, ctx) => ctx.clock.sleep(60_000).then(() => n));
  await bench.start({ agents: [agent] });
  const asking = await bench.start();
  await asking.tasks.create(Work, 1);
  await asking.tasks.create(Work, 2);
  await bench.clock.advance(3_000);
  const [entry] = asking.directory.find({ specialization: "law", version: "2.1.0" });
  assert.equal(entry?.card.version, "2.1.0");
  assert.equal(entry?.card.load, 2);
  assert.equal(entry?.card.waiting, 0);
  assert.equal(entry?.card.pid, process.pid);
  assert.deepEqual(asking.directory.find({ version: "1" }), []);
  assert.equal(asking.directory.find({ free: true }).length, 1);
  await asking.tasks.create(Work, 3);
  await bench.clock.advance(100);
  assert.equal(asking.directory.find({ free: true }).length, 0, "load comes from the log");
  await bench.close();
});

test("load is what the log says, also for an owner that says nothing any more", async () => {
  const bench = testTeam();
  const own = losable(bench.store);
  const agent = defineAgent({ name: "worker", capacity: 2 }).does(
    Work,
    () => new Promise<number>(() => {}),
  );
  await bench.start({ agents: [agent], store: own.store });
  const asking = await bench.start();
  await asking.tasks.create(Work, 1);
  await bench.clock.advance(1_000);
  own.lost.writes = true;
  assert.equal(asking.directory.find({ agent: "worker" })[0]?.card.load, 1);
  await bench.clock.advance(20_000);
  const [entry] = asking.directory.find({ agent: "worker" });
  assert.deepEqual([entry?.presence, entry?.card.load], ["dead", 0]);
  await bench.close();
});

test("a silent process is suspected, then dead, and returns", async () => {
  const bench = testTeam();
  const { watching, own } = await pair(bench);
  const edges = edgesOf(watching);
  own.writes = true;
  await bench.clock.advance(20_000);
  own.writes = false;
  await bench.clock.advance(6_000);
  assert.deepEqual(edges, ["reader suspected", "reader dead", "reader returned", "reader online"]);
  await bench.close();
});

test("an observer that has just started gives a whole window before any verdict", async () => {
  const bench = testTeam();
  const { beating, own } = await pair(bench);
  own.writes = true;
  await bench.clock.advance(60_000);
  const late = await bench.start();
  const edges = edgesOf(late);
  await bench.clock.advance(9_000);
  assert.deepEqual(edges, []);
  await bench.clock.advance(8_000);
  assert.deepEqual(edges, ["reader suspected", "reader dead"]);
  assert.ok(beating);
  await bench.close();
});

test("an observer that lost the store to read from judges nobody by that time", async () => {
  const bench = testTeam();
  const { watching, seeing, own } = await pair(bench);
  const edges = edgesOf(watching);
  seeing.reads = true;
  await bench.clock.advance(60_000);
  seeing.reads = false;
  await bench.clock.advance(4_000);
  assert.deepEqual(edges, [], "it beats on");
  seeing.reads = true;
  own.writes = true;
  await bench.clock.advance(60_000);
  seeing.reads = false;
  await bench.clock.advance(9_000);
  assert.deepEqual(edges, [], "the window begins when it sees again");
  await bench.clock.advance(10_000);
  assert.deepEqual(edges, ["reader suspected", "reader dead"]);
  await bench.close();
});

test("what is written while an observer's look is on its way is no silence", async () => {
  const bench = testTeam();
  const timing = { heartbeatMs: 1_000, suspectAfterMs: 5_000, leaseMs: 10_000 };
  const own = losable(bench.store);
  let delayMs = 0;
  const slow = changed(bench.store, {
    slots: async (prefix) => {
      const slots = await bench.store.slots(prefix);
      if (delayMs > 0) await bench.clock.sleep(delayMs);
      return slots;
    },
  });
  await bench.start({ ...timing, agents: [reader], store: own.store });
  const edges = edgesOf(await bench.start({ ...timing, store: slow }));
  await bench.clock.advance(2_000);
  own.lost.writes = true;
  await bench.clock.advance(8_500);
  delayMs = 1_400; // after nine seconds of silence somebody looks; the answer comes after ten
  await bench.clock.advance(1_000);
  own.lost.writes = false;
  await bench.clock.advance(5_000);
  assert.deepEqual(edges, ["reader suspected", "reader online"]);
  await bench.close();
});

test("an observer that cannot write itself judges nobody's silence", async () => {
  const bench = testTeam();
  const { lost, store } = losable(bench.store);
  const writer = defineAgent({ name: "writer" });
  const watching = await bench.start({ store, agents: [writer] });
  const silent = losable(bench.store);
  await bench.start({ agents: [reader], store: silent.store });
  await bench.clock.advance(4_000);
  const edges = edgesOf(watching);
  lost.writes = true;
  silent.lost.writes = true;
  await bench.clock.advance(60_000);
  assert.deepEqual(edges, [], "for all it knows the disk is full for everybody");
  lost.writes = false;
  await bench.clock.advance(20_000);
  assert.deepEqual(edges, ["reader suspected", "reader dead"]);
  await bench.close();
});

test("the cards of the long dead are taken away, and come back whole with the next beat", async () => {
  const bench = testTeam();
  const { watching, own } = await pair(bench);
  own.writes = true;
  await bench.clock.advance(200_000);
  assert.deepEqual(await bench.store.slots("presence/"), []);
  assert.deepEqual(watching.directory.find(), []);
  own.writes = false;
  await bench.clock.advance(5_000);
  assert.equal(watching.directory.find({ capability: "read", live: true }).length, 1);
  await bench.close();
});

test("a beat whose answer was lost is followed by the next", async () => {
  const bench = testTeam();
  let loses = false;
  const store = changed(bench.store, {
    commit: async (commit) => {
      const result = await bench.store.commit(commit);
      if (loses && commit.slots) {
        throw new CadreError("STORE_UNAVAILABLE", "lost", { path: "", reason: "test" });
      }
      return result;
    },
  });
  await bench.start({ agents: [reader], store });
  const watching = await bench.start();
  const edges = edgesOf(watching);
  loses = true;
  await bench.clock.advance(2_100);
  loses = false;
  await bench.clock.advance(30_000);
  assert.deepEqual(edges, []);
  await bench.close();
});

test("a process that was silent for longer than its lease is told that it was evicted", async () => {
  const bench = testTeam();
  const { lost, store } = losable(bench.store);
  const agent = defineAgent({ name: "worker" }).does(Work, () => new Promise<number>(() => {}));
  const team = await bench.start({ agents: [agent], store });
  const said: string[] = [];
  team.bus.onError((error) => void said.push(`${error.severity} ${error.message}`));
  lost.writes = true;
  await bench.clock.advance(30_000);
  lost.writes = false;
  await bench.clock.advance(3_000);
  assert.ok(
    said.some((line) => /^warning .*longer than its lease/.test(line)),
    said.join("\n"),
  );
  await bench.close();
});

test("the presets hold, and single values beside them", async () => {
  const bench = testTeam();
  const own = losable(bench.store);
  await bench.start({ agents: [reader], store: own.store, presence: "fast" });
  const watching = await bench.start({ presence: "fast" });
  const edges = edgesOf(watching);
  own.lost.writes = true;
  await bench.clock.advance(4_500);
  assert.deepEqual(edges, ["reader suspected"]);
  await bench.clock.advance(2_000);
  assert.deepEqual(edges, ["reader suspected", "reader dead"]);
  assert.equal(presencePresets.relaxed.heartbeatMs, 30_000);
  assert.equal(presencePresets.relaxed.suspectAfterMs, 90_000);
  const refused = bench.start({ presence: "fast", leaseMs: 1_500 });
  await assert.rejects(refused, /missed heartbeat/);
  await bench.close();
});
