import assert from "node:assert/strict";
import { test } from "node:test";

import { CadreError, type, type EventStore } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { changed } from "../changed.ts";

const Work = defineTask({ name: "work", input: type<number>(), output: type<string>() });

/** A store that a test can cut off for one runtime, as a frozen process or a lost network would. */
function severable(store: EventStore): { readonly store: EventStore; cut: boolean } {
  const refuse = (): void => {
    if (line.cut)
      throw new CadreError("STORE_UNAVAILABLE", "cut off", { path: "", reason: "test" });
  };
  const severed = changed(store, {
    commit: async (commit) => (refuse(), store.commit(commit)),
    read: (query) => (refuse(), store.read(query)),
    watch: (wake) => store.watch(() => void (line.cut || wake())),
    slot: async (name) => (refuse(), store.slot(name)),
    slots: async (prefix) => (refuse(), store.slots(prefix)),
    close: async () => {},
  });
  const line = { store: severed, cut: false };
  return line;
}

test("the work of an owner that fell silent is offered again, and its late result is rejected and recorded", async () => {
  const bench = testTeam();
  const line = severable(bench.store);
  let finishFirst: (value: string) => void = () => {};
  const first = defineAgent({ name: "first" }).does(
    Work,
    () =>
      new Promise<string>((resolve) => {
        finishFirst = resolve;
      }),
  );
  await bench.start({ store: line.store, agents: [first] });
  const asking = await bench.start();
  const handle = await asking.tasks.create(Work, 1);
  await bench.clock.advance(1_000);
  assert.equal((await handle.state()).owner?.agent, "first");

  line.cut = true;
  await bench.start({
    agents: [defineAgent({ name: "second" }).does(Work, () => "by the second")],
  });
  assert.equal(await bench.until(handle.result(), 40_000), "by the second");
  line.cut = false;
  finishFirst("by the first");
  await bench.clock.advance(5_000);

  const state = await handle.state();
  assert.equal(state.result, "by the second");
  assert.equal(state.epoch, 2);
  assert.equal(asking.stats().rejectedLateResults, 1);
  assert.equal(asking.stats().leasesExpired, 1);
  await bench.close();
});

test("an owner that cannot renew stops its own work before the lease ends", async () => {
  const bench = testTeam();
  const line = severable(bench.store);
  let abortedAt: number | undefined;
  const agent = defineAgent({ name: "agent" }).does(
    Work,
    (_input, ctx) =>
      new Promise<string>((_resolve, reject) => {
        ctx.signal.addEventListener("abort", () => {
          abortedAt = bench.clock.monotonic();
          reject(ctx.signal.reason);
        });
      }),
  );
  const team = await bench.start({ store: line.store, agents: [agent] });
  await team.tasks.create(Work, 1);
  await bench.clock.advance(1_000);
  const cutAt = bench.clock.monotonic();
  line.cut = true;
  await bench.clock.advance(20_000);
  assert.ok(abortedAt !== undefined && abortedAt - cutAt < 15_000, `stopped after ${abortedAt}`);
  line.cut = false;
  await bench.close();
});

test("no lease is taken from an owner that beats, however long it works", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "agent" }).does(Work, async (_input, ctx) => {
    await ctx.clock.sleep(300_000);
    return "done";
  });
  await bench.start({ agents: [agent] });
  const asking = await bench.start();
  const handle = await asking.tasks.create(Work, 1);
  assert.equal(await bench.until(handle.result(), 400_000), "done");
  assert.equal((await handle.state()).epoch, 1);
  await bench.close();
});

test("wall clocks that jump take no lease", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "agent" }).does(Work, async (_input, ctx) => {
    await ctx.clock.sleep(60_000);
    return "done";
  });
  await bench.start({ agents: [agent] });
  const asking = await bench.start();
  const handle = await asking.tasks.create(Work, 1);
  await bench.clock.advance(5_000);
  bench.clock.jump(3_600_000);
  await bench.clock.advance(5_000);
  bench.clock.jump(-7_200_000);
  assert.equal(await bench.until(handle.result(), 120_000), "done");
  assert.equal((await handle.state()).epoch, 1);
  await bench.close();
});

test("closing gives back what still runs, without counting the attempt", async () => {
  const bench = testTeam();
  const stuck = defineAgent({ name: "stuck" }).does(Work, () => new Promise<string>(() => {}));
  const leaving = await bench.start({ agents: [stuck] });
  const asking = await bench.start();
  const handle = await asking.tasks.create(Work, 1);
  await bench.clock.advance(1_000);
  const report = await bench.until(leaving.close({ deadlineMs: 500 }));
  assert.equal(report.released, 1);
  const state = await handle.state();
  assert.equal(state.status, "offered");
  assert.equal(state.attempt, 0);
  assert.equal(state.lost, 0);
  await bench.start({ agents: [defineAgent({ name: "other" }).does(Work, () => "other")] });
  assert.equal(await bench.until(handle.result()), "other");
  await bench.close();
});

test("a task that kills its owners fails after ten", async () => {
  const bench = testTeam();
  const asking = await bench.start();
  const handle = await asking.tasks.create(Work, 1);
  const result = handle.result();
  result.catch(() => undefined);
  for (let round = 0; round < 10; round += 1) {
    const line = severable(bench.store);
    await bench.start({
      store: line.store,
      agents: [
        defineAgent({ name: `victim-${round}` }).does(Work, () => new Promise<string>(() => {})),
      ],
    });
    await bench.clock.advance(3_000);
    line.cut = true;
    await bench.clock.advance(20_000);
  }
  await assert.rejects(bench.until(result), /lost 10 owners/);
  await bench.close();
});
