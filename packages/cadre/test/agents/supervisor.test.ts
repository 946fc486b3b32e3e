/** Agents that get stuck or cannot start are found, restarted with backoff, and stopped in the end. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, type Cadre } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { RestartPolicy } from "#src/agents/health/restart-policy.ts";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });
const forever = (): Promise<number> => new Promise(() => {});

async function statuses(team: Cadre): Promise<string[]> {
  const told: string[] = [];
  await team.bus.subscribe("status.updated", ({ payload }) => {
    const { agent, status } = payload as { readonly agent: string; readonly status: string };
    told.push(`${agent} ${status}`);
  });
  return told;
}

test("a handler that gets nowhere is found although its agent beats", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "worker", stuckAfterMs: 20_000 }).does(Work, forever);
  const team = await bench.start({ agents: [agent] });
  const told = await statuses(team);
  const handle = await team.tasks.create(Work, 1);
  await bench.clock.advance(19_000);
  assert.deepEqual(told, []);
  await bench.clock.advance(4_000);
  assert.deepEqual(told, ["worker stuck"]);
  const [entry] = team.directory.find({ agent: "worker" });
  assert.equal(entry?.presence, "online");
  assert.match(entry?.card.stuck ?? "", new RegExp(`task ${handle.id} has made no progress`));
  await bench.clock.advance(60_000);
  assert.deepEqual(told, ["worker stuck"], "told once");
  assert.equal((await handle.state()).epoch, 1, "and left alone");
  await bench.close();
});

test("one that reports, steps, breathes, or waits by its context is not stuck", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "worker", capacity: 4 })
    .does(Work, async (n, ctx) => {
      if (n === 1) await ctx.sleep("long", 100_000);
      for (let step = 0; n === 2 && step < 10; step += 1) {
        await ctx.clock.sleep(10_000);
        await ctx.progress(step / 10);
      }
      for (let step = 0; n === 3 && step < 10; step += 1) {
        await ctx.clock.sleep(10_000);
        await ctx.breathe();
      }
      return n;
    })
    .on("custom.said", async (_event, ctx) => ctx.sleep("long", 100_000));
  const team = await bench.start({ agents: [agent], health: { stuckAfterMs: 15_000 } });
  const told = await statuses(team);
  await team.bus.publish("custom.said", {});
  const handles = [];
  for (const n of [1, 2, 3]) handles.push(await team.tasks.create(Work, n));
  for (const handle of handles) await bench.until(handle.result(), 200_000);
  assert.deepEqual(told, []);
  await bench.close();
});

test("a handler of an event that gets nowhere is found, and when it moves again", async () => {
  const bench = testTeam();
  let go = (): void => {};
  const agent = defineAgent({ name: "ear" }).on(
    "custom.said",
    () => new Promise<void>((resolve) => (go = resolve)),
  );
  const team = await bench.start({ agents: [agent], health: { stuckAfterMs: 10_000 } });
  const told = await statuses(team);
  await team.bus.publish("custom.said", {});
  await bench.clock.advance(20_000);
  assert.deepEqual(told, ["ear stuck"]);
  assert.match(team.directory.find({ agent: "ear" })[0]?.card.stuck ?? "", /^custom.said/);
  go();
  await bench.clock.advance(5_000);
  assert.deepEqual(told, ["ear stuck", "ear moving"]);
  assert.equal(team.directory.find({ agent: "ear" })[0]?.card.stuck, undefined);
  await bench.close();
});

test("a stuck agent is restarted, its work is tried again, and it is stopped in the end", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "worker" }).does(Work, forever);
  const team = await bench.start({
    agents: [agent],
    health: {
      stuckAfterMs: 10_000,
      onStuck: "restart",
      restarts: { maxRestarts: 2, windowMs: 600_000 },
    },
  });
  const life: string[] = [];
  for (const each of ["agent.started", "agent.stopped"] as const) {
    await team.bus.subscribe(each, ({ payload }) => {
      life.push(`${each} ${(payload as { readonly reason: string }).reason}`);
    });
  }
  const handle = await team.tasks.create(Work, 1);
  await bench.clock.advance(120_000);
  assert.equal(life.filter((line) => line.startsWith("agent.started")).length, 2);
  assert.match(
    life.at(-1) ?? "",
    /^agent.stopped 2 restarts within 600000 ms; the last one because/,
  );
  const [entry] = team.directory.find({ agent: "worker" });
  assert.deepEqual([entry?.card.state, entry?.presence], ["stopped", "online"]);
  assert.match(entry?.card.reason ?? "", /2 restarts/);
  const state = await handle.state();
  assert.deepEqual([state.status, state.attempt], ["offered", 0]);
  assert.match(String(await handle.noAgent()), /worker is stopped/);
  await bench.close();
});

test("a neighbour of a restarted agent goes on", async () => {
  const bench = testTeam();
  const Other = defineTask({ name: "other", input: type<number>(), output: type<number>() });
  const stuck = defineAgent({ name: "stuck" }).does(Work, forever);
  const fine = defineAgent({ name: "fine" }).does(Other, async (n, ctx) => {
    await ctx.sleep("long", 60_000);
    return n;
  });
  const team = await bench.start({
    agents: [stuck, fine],
    health: { stuckAfterMs: 5_000, onStuck: "restart" },
  });
  await team.tasks.create(Work, 1);
  const handle = await team.tasks.create(Other, 2);
  assert.equal(await bench.until(handle.result()), 2);
  assert.equal((await handle.state()).epoch, 1);
  await bench.close();
});

test("restarts wait longer each time, are counted in a window, and a person resets them", () => {
  const policy = new RestartPolicy({ maxRestarts: 3, windowMs: 1_000, minDelayMs: 10 });
  assert.deepEqual([policy.next(0), policy.next(1), policy.next(2)], [10, 20, 40]);
  assert.equal(policy.next(3), undefined);
  assert.equal(policy.next(1_011), 40, "the first one is forgotten");
  policy.reset();
  assert.equal(policy.next(1_012), 10);
  const capped = new RestartPolicy({ minDelayMs: 100, maxDelayMs: 150 });
  assert.deepEqual([capped.next(0), capped.next(0), capped.next(0)], [100, 150, 150]);
});

test("options of health that make no sense are refused", async () => {
  const bench = testTeam();
  const refused = [
    { health: { stuckAfter: 1 } },
    { health: { onStuck: "panic" } },
    { health: { restarts: { maxRestarts: -1 } } },
    { health: { breaker: { failures: 0 } } },
  ];
  // Wrong on purpose.
  for (const options of refused)
    await assert.rejects(bench.start(options as object), /Option|option/);
  await bench.close();
});

test("breathe lets time pass for others, and throws when the handler is to stop", async () => {
  const bench = testTeam();
  let rounds = 0;
  let thrown: unknown;
  const agent = defineAgent({ name: "worker" }).does(Work, async (n, ctx) => {
    try {
      for (;;) {
        await ctx.breathe();
        await ctx.clock.sleep(1_000);
        rounds += 1;
      }
    } catch (error) {
      thrown = error;
    }
    return n;
  });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Work, 1);
  await bench.clock.advance(5_500);
  assert.ok(rounds >= 4);
  await handle.cancel("enough");
  await bench.clock.advance(5_000);
  assert.match(String(thrown), /cancelled: enough/);
  await bench.close();
});
