/** The same agents, where no subscription is held: every test runs in both modes. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { isCadreError, type } from "cadre";
import { defineAgent, defineTask, startCadre, type CadreOptions } from "cadre/agents";
import { testTeam } from "cadre/testing";

const number = type<number>();
const Work = defineTask({ name: "work", input: number, output: number });

const modes: readonly Pick<CadreOptions, "mode" | "pollEveryMs">[] = [
  { mode: "subscribed" },
  { mode: "polling", pollEveryMs: 500 },
];

for (const how of modes) {
  const { mode } = how;

  test(`${mode}: tasks, children, retries and features are done`, async () => {
    const bench = testTeam();
    const agent = defineAgent({ name: "a", capacity: 2 }).does(Work, async (n, ctx) => {
      if (n === 1) return (await ctx.call("child", Work, 20)) + 1;
      if (n === 3 && ctx.attempt === 1) throw new Error("not at first");
      await ctx.sleep("rest", 100);
      return n;
    });
    await bench.start({ agents: [agent], ...how });
    const client = await bench.start({ name: "client", orchestrator: false });
    const task = await client.tasks.create(Work, 1);
    assert.equal(await bench.until(task.result()), 21);
    const again = await client.tasks.create(Work, 3);
    assert.equal(await bench.until(again.result()), 3);
    const feature = await client.features.create({
      title: "two",
      tasks: [
        { name: "x", definition: Work, input: 5 },
        { name: "y", definition: Work, input: 6 },
      ],
    });
    assert.equal((await bench.until(feature.finished())).status, "completed");
    await bench.close();
  });

  test(`${mode}: a handler hears each event once, and again after a failure`, async () => {
    const bench = testTeam();
    const heard: string[] = [];
    const said: string[] = [];
    const agent = defineAgent({ name: "a" })
      .on("custom.asked", { retry: { minDelayMs: 100, maxAttempts: 5 } }, async (event, ctx) => {
        const { n } = event.payload as { n: number };
        heard.push(`${n}/${ctx.attempt}`);
        if (n === 2 && ctx.attempt === 1) throw new Error("not at first");
        await ctx.publish("custom.answered", { n });
      })
      .on("custom.answered", (event) => {
        said.push(String((event.payload as { n: number }).n));
      });
    await bench.start({ agents: [agent], ...how });
    const client = await bench.start({ name: "client" });
    for (const n of [1, 2, 3]) await client.bus.publish("custom.asked", { n });
    await bench.clock.advance(10_000);
    assert.deepEqual(heard.toSorted(), ["1/1", "2/1", "2/2", "3/1"]);
    assert.deepEqual(said.toSorted(), ["1", "2", "3"]);
    await bench.close();
  });

  test(`${mode}: the work of a process that dies is done by the next`, async () => {
    const bench = testTeam();
    const agent = (name: string) =>
      defineAgent({ name }).does(Work, async (n, ctx) => {
        await ctx.clock.sleep(name === "frozen" ? 10_000_000 : 10, ctx.signal);
        return n;
      });
    const dead = await bench.start({ agents: [agent("frozen")], ...how });
    const client = await bench.start({ name: "client" });
    const task = await client.tasks.create(Work, 4, { assignTo: "frozen" });
    await bench.clock.advance(1_000);
    assert.equal((await task.state()).owner?.agent, "frozen");
    await bench.until(dead.close({ deadlineMs: 0 }));
    await bench.start({ agents: [agent("next")], ...how });
    assert.equal(await bench.until(task.result()), 4);
    await bench.close();
  });

  test(`${mode}: cancelling reaches the handler`, async () => {
    const bench = testTeam();
    const agent = defineAgent({ name: "a" }).does(Work, async (n, ctx) => {
      await ctx.clock.sleep(10_000_000, ctx.signal);
      return n;
    });
    await bench.start({ agents: [agent], ...how });
    const client = await bench.start({ name: "client" });
    const task = await client.tasks.create(Work, 4);
    await bench.clock.advance(2_000);
    await task.cancel("enough");
    await assert.rejects(bench.until(task.result()), /enough/);
    await bench.close();
  });
}

test("polling watches nothing, and looks as often as it is told", async () => {
  const bench = testTeam();
  let watches = 0;
  let reads = 0;
  const seen = new Proxy(bench.store, {
    get(target, name) {
      if (name === "watch") watches += 1;
      if (name === "read") reads += 1;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  const agent = defineAgent({ name: "a" }).does(Work, (n) => n);
  await bench.start({ agents: [agent], store: seen, mode: "polling", pollEveryMs: 5_000 });
  await bench.clock.advance(20_000);
  assert.equal(watches, 0);
  const before = reads;
  await bench.clock.advance(100_000);
  assert.ok(reads - before >= 20, `${reads - before} reads`);
  await bench.close();
});

test("an ephemeral handler is refused where no subscription is held", async () => {
  const agent = defineAgent({ name: "a" }).on("custom.x", { ephemeral: true }, () => {});
  await assert.rejects(testTeam().start({ agents: [agent], mode: "polling" }), (error: unknown) => {
    assert.ok(isCadreError(error, "INVALID_OPTION"));
    assert.match(error.message, /Agent "a", on\("custom\.x"\).*holds no subscription/);
    return true;
  });
});

test("a polling team on a file does what another process asks, and hears what it says", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "cadre-polling-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const url = `sqlite:${join(folder, "team.db")}`;
  const heard: unknown[] = [];
  let done = (): void => {};
  const all = new Promise<void>((resolve) => {
    done = resolve;
  });
  const agent = defineAgent({ name: "a" })
    .does(Work, (n) => n * 2)
    .on("custom.said", (event) => {
      heard.push((event.payload as { n: number }).n);
      if (heard.length === 3) done();
    });
  const poller = await startCadre({
    agents: [agent],
    store: url,
    mode: "polling",
    pollEveryMs: 50,
  });
  const client = await startCadre({ store: url, name: "client", orchestrator: false });
  const task = await client.tasks.create(Work, 21);
  for (const n of [1, 2, 3]) await client.bus.publish("custom.said", { n });
  assert.equal(await task.result({ timeoutMs: 10_000 }), 42);
  await all;
  assert.deepEqual(heard, [1, 2, 3]);
  await client.close();
  assert.equal((await poller.close()).clean, true);
});
