/** What a handler had handed on was done in time, and its process died before it was on record. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TerminalError, type, type EventStore } from "cadre";
import { defineAgent, defineTask, type AnyAgent } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { changed } from "../changed.ts";
import { dyingStore, writesTo, type Death } from "./dying-store.ts";

const number = type<number>();
const Part = defineTask({ name: "part", input: number, output: number });
const Whole = defineTask({ name: "whole", input: number, output: type<unknown>() });

/** A store at the other end of a wire. */
function slow(store: EventStore, pause: () => Promise<void>): EventStore {
  const read: EventStore["read"] = async function* (query) {
    await pause();
    yield* store.read(query);
  };
  return changed(store, { read });
}

/** Whether the results were there when the process died, and what came of it. */
async function scatterUntil(death: Death): Promise<{ hadAll: boolean; result: unknown }> {
  const bench = testTeam();
  const parts = defineAgent({ name: "parts", capacity: 8 }).does(Part, async (n, ctx) => {
    await ctx.sleep("work", n);
    return n;
  });
  const whole = (): AnyAgent =>
    defineAgent({ name: "whole" }).does(Whole, async (_n, ctx) => {
      const options = { timeoutMs: 5_000 };
      const votes = await ctx.scatter("votes", Part, { inputs: [50, 10] }, options);
      return votes.map(({ result }) => result).toSorted((a, b) => a - b);
    });
  const client = await bench.start({ name: "client", agents: [parts] });
  const task = await client.tasks.create(Whole, 1, { id: "w" });
  const { mortal } = dyingStore(bench.store, death, writesTo(/^(task|feature)\//));
  await bench.start({ name: "mortal", agents: [whole()], store: mortal });
  await bench.clock.advance(4_000);
  const states = await client.tasks.list({ status: "completed" });
  const hadAll = states.filter(({ name }) => name === "part").length === 2;
  const store = slow(bench.store, () => bench.clock.sleep(5));
  await bench.until(bench.start({ name: "next", agents: [whole()], store }));
  const result = await bench.until(task.result(), 600_000).catch((error: unknown) => String(error));
  return { hadAll, result };
}

test("results that came in time count when their scatter is looked at again too late", async () => {
  let looked = 0;
  for (let at = 1; at <= 12; at += 1) {
    for (const when of ["before", "after"] as const) {
      const { hadAll, result } = await scatterUntil({ at, when });
      if (!hadAll) continue;
      looked += 1;
      assert.deepEqual(result, [10, 50], `death ${when} write ${at}`);
    }
  }
  assert.ok(looked >= 3, `${looked} deaths`);
});

test("a child that was just being made when its map failed is cancelled too", async () => {
  const bench = testTeam();
  const parts = defineAgent({ name: "parts", capacity: 8 }).does(Part, async (n, ctx) => {
    await ctx.sleep("work", Math.abs(n));
    if (n < 0) throw new TerminalError(`${n} is negative`);
    return n;
  });
  const whole = defineAgent({ name: "whole" }).does(Whole, (_n, ctx) =>
    ctx.map("m", Part, [-100, 60_000], {}).catch((error: unknown) => String(error)),
  );
  const commit: EventStore["commit"] = async (work) => {
    const isSlow = work.appends?.some(({ stream }) => stream === "task/w.m.1") ?? false;
    if (isSlow) await bench.clock.sleep(1_000);
    return bench.store.commit(work);
  };
  const store = changed(bench.store, { commit });
  await bench.start({ name: "others", agents: [parts] });
  const team = await bench.start({ name: "slow", agents: [whole], store });
  const task = await team.tasks.create(Whole, 1, { id: "w" });
  assert.match(String(await bench.until(task.result())), /item 0 of map "m" failed/);
  await bench.clock.advance(10_000);
  const child = (await team.tasks.list()).find(({ id }) => id === "w.m.1");
  assert.equal(child?.status, "cancelled");
  await bench.close();
});
