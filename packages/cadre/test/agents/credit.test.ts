/** Credit between agents: nobody holds more than its capacity, and who is full says so. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Work = defineTask({
  name: "work",
  input: type<number>(),
  output: type<number>(),
  maxAttempts: 100,
});
const requests = (count: number) =>
  Array.from({ length: count }, (_, input) => ({ definition: Work, input }));

test("no agent ever holds more than its capacity, by the log", async () => {
  const bench = testTeam();
  const agent = (name: string, capacity: number) =>
    defineAgent({ name, capacity }).does(Work, async (n, ctx) => {
      await ctx.clock.sleep(1_000 + 10 * n);
      return n;
    });
  await bench.start({ agents: [agent("one", 1), agent("three", 3)] });
  const asking = await bench.start();
  const handles = await asking.tasks.createAll(requests(20));
  const most = new Map<string, number>();
  for (let second = 0; second < 12; second += 1) {
    await bench.clock.advance(500);
    for (const { card } of asking.directory.find()) {
      assert.ok(card.load <= card.capacity, `${card.agent} holds ${card.load}`);
      most.set(card.agent, Math.max(most.get(card.agent) ?? 0, card.load));
    }
  }
  for (const handle of handles) await bench.until(handle.result());
  assert.deepEqual(Object.fromEntries(most), { one: 1, three: 3 });
  await bench.close();
});

test("an agent that is full with work waiting says so once a burst", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "worker", capacity: 2 }).does(Work, async (n, ctx) => {
    await ctx.clock.sleep(3_000);
    return n;
  });
  const team = await bench.start({ agents: [agent] });
  const told: object[] = [];
  await team.bus.subscribe("agent.backpressure", ({ payload }) => {
    told.push(payload as object);
  });
  for (const handle of await team.tasks.createAll(requests(2))) {
    await bench.until(handle.result());
  }
  await bench.clock.advance(10_000);
  assert.deepEqual(told, [], "full is not enough");
  const handles = await team.tasks.createAll(requests(12));
  await bench.clock.advance(12_000);
  assert.equal(told.length, 1);
  assert.partialDeepStrictEqual(told[0], { agent: "worker", queue: "work", limit: 2 });
  for (const handle of handles) await bench.until(handle.result());
  await bench.clock.advance(5_000);
  for (const handle of await team.tasks.createAll(requests(12))) {
    await bench.until(handle.result());
  }
  assert.equal(told.length, 2, "the next burst is told of again");
  await bench.close();
});

test("an agent that fails at a capability leaves it alone for a while, and then tries one", async () => {
  const bench = testTeam();
  const Other = defineTask({ name: "other", input: type<number>(), output: type<number>() });
  let broken = true;
  let tries = 0;
  const agent = defineAgent({ name: "worker", capacity: 3 })
    .does(Work, (n) => {
      tries += 1;
      if (broken) throw new Error("the disk is gone");
      return n;
    })
    .does(Other, (n) => n);
  const team = await bench.start({
    agents: [agent],
    health: { breaker: { failures: 3, windowMs: 60_000, openMs: 20_000 } },
  });
  const changes: string[] = [];
  for (const each of ["opened", "half_opened", "closed"] as const) {
    await team.bus.subscribe(`circuit_breaker.${each}`, ({ payload }) => {
      changes.push(`${(payload as { readonly breaker: string }).breaker} ${each}`);
    });
  }
  const handles = await team.tasks.createAll(requests(3));
  await bench.clock.advance(5_000);
  const before = tries;
  assert.ok(before >= 3 && before <= 6, `${before} tries`);
  const other = await team.tasks.create(Other, 5);
  assert.equal(await bench.until(other.result(), 1_000), 5, "another capability is not touched");
  assert.deepEqual(team.directory.find({ agent: "worker" })[0]?.card.broken, ["work"]);
  await bench.clock.advance(10_000);
  assert.equal(tries, before);
  await bench.clock.advance(8_000);
  assert.equal(tries, before + 1, "one probe, which fails");
  broken = false;
  for (const handle of handles) await bench.until(handle.result());
  assert.deepEqual(changes, [
    "worker/work opened",
    "worker/work half_opened",
    "worker/work opened",
    "worker/work half_opened",
    "worker/work closed",
  ]);
  await bench.close();
});

test("tasks of a broken agent go to another, at once", async () => {
  const bench = testTeam();
  const bad = defineAgent({ name: "bad", capacity: 5 }).does(Work, () => {
    throw new Error("broken");
  });
  const good = defineAgent({ name: "good", capacity: 5 }).does(Work, (n) => n);
  const team = await bench.start({ agents: [bad], health: { breaker: { failures: 2 } } });
  const failing = await team.tasks.createAll(requests(2));
  await bench.clock.advance(3_000);
  await bench.start({ agents: [good] });
  const handles = [...failing, ...(await team.tasks.createAll(requests(10)))];
  for (const handle of handles) await bench.until(handle.result(), 10_000);
  for (const handle of handles.slice(2)) assert.equal((await handle.state()).attempt, 1);
  await bench.close();
});
