/** Rate limits that all processes of a store share. */
import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import {
  isCadreError,
  memoryStore,
  SeededRandom,
  type,
  VirtualClock,
  type EventStore,
} from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { SharedRateLimits } from "#src/agents/health/rate-limits.ts";
import type { RateLimit } from "#src/agents/health/rate-limit-rules.ts";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });

function limitsOn(limits: Readonly<Record<string, RateLimit>>, processes = 1, seed = 1) {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const random = new SeededRandom(seed);
  const all = Array.from({ length: processes }, (_, n) => {
    const context = { store: slowly(store, clock, random), clock, random: random.fork(`${n}`) };
    return new SharedRateLimits(context, limits);
  });
  return { clock, store, all, random };
}

/** Calls take a moment, so that processes get in each other's way. */
function slowly(store: EventStore, clock: VirtualClock, random: SeededRandom) {
  const later = (): Promise<void> => clock.sleep(random.next() * 3);
  return {
    slot: async (name: string) => (await later(), store.slot(name)),
    commit: async (commit: Parameters<EventStore["commit"]>[0]) => (
      await later(),
      store.commit(commit)
    ),
  };
}

/** The most that was granted within any window. */
function mostWithin(granted: readonly { at: number; amount: number }[], windowMs: number): number {
  let most = 0;
  for (const { at } of granted) {
    const within = granted.filter((other) => other.at >= at && other.at < at + windowMs);
    most = Math.max(
      most,
      within.reduce((sum, { amount }) => sum + amount, 0),
    );
  }
  return most;
}

test("no window has more than the limit, whoever asks for whatever from wherever", async () => {
  const demand = fc.record({
    process: fc.nat(3),
    waitMs: fc.nat(700),
    amount: fc.integer({ min: 1, max: 3 }),
  });
  const seed = process.env["CADRE_SEED"];
  await fc.assert(
    fc.asyncProperty(
      fc.array(demand, { maxLength: 60 }),
      fc.integer({ min: 3, max: 12 }),
      fc.nat(1_000),
      async (demands, perSecond, draw) => {
        const { clock, all } = limitsOn({ x: { perSecond } }, 4, draw);
        const granted: { at: number; amount: number }[] = [];
        let asked = 0;
        for (const { process, waitMs, amount } of demands) {
          await clock.advance(waitMs % 5 === 0 ? waitMs : 0);
          asked += amount;
          void all[process]!.take("x", amount).then(() =>
            granted.push({ at: clock.now(), amount }),
          );
        }
        await clock.advance(((asked * 1_000) / perSecond + 1_000) * 4);
        const got = granted.reduce((sum, { amount }) => sum + amount, 0);
        assert.equal(got, asked, "everybody gets it in the end");
        // What is granted at an instant is known to the asker a moment later.
        assert.ok(mostWithin(granted, 1_000 - 10) <= perSecond);
        for (const limits of all) limits.close();
      },
    ),
    { numRuns: 40, ...(seed === undefined ? {} : { seed: Number(seed) }) },
  );
});

test("a limit gives what it says, over time", async () => {
  const { clock, all } = limitsOn({ x: { perSecond: 100 } }, 3);
  let granted = 0;
  const stop = new AbortController();
  for (const limits of all) {
    for (let asker = 0; asker < 20; asker += 1) {
      void (async () => {
        for (;;) {
          await limits.take("x", 1, { signal: stop.signal });
          granted += 1;
        }
      })().catch(() => undefined);
    }
  }
  await clock.advance(20_000);
  stop.abort();
  assert.ok(granted <= 2_100, `${granted}`);
  assert.ok(granted >= 1_700, `${granted}, ten elevenths of it at least, contention aside`);
});

test("what is asked for at one time is one write", async () => {
  const { clock, store, all } = limitsOn({ x: { perMinute: 1_000 } });
  await Promise.all([...Array.from({ length: 500 }, () => all[0]!.take("x")), clock.advance(100)]);
  assert.equal((await store.slot("limit/x"))?.version, 1);
});

test("who would wait too long is refused at once, and told when to come again", async () => {
  const { clock, all } = limitsOn({ x: { perSecond: 2 } });
  const [limits] = all;
  await Promise.all([limits!.take("x", 2), clock.advance(50)]);
  const startedAt = clock.monotonic();
  const refused = limits!.take("x", 1, { deadlineMs: 300 }).catch((error: unknown) => error);
  await clock.advance(50);
  const error = await refused;
  assert.ok(isCadreError(error, "RATE_LIMITED"));
  assert.equal(error.details.limit, "x");
  assert.ok(error.details.retryAfterMs > 800 && error.details.retryAfterMs <= 1_100);
  assert.ok(clock.monotonic() - startedAt <= 50);
  const answer = limits!.tryTake("x");
  await clock.advance(20);
  assert.ok((await answer) > 800);
  const late = limits!.take("x", 1, { deadlineMs: 2_000 });
  await Promise.all([late, clock.advance(1_500)]);
});

test("what can never be had, or is no limit, is refused; what has no limit is free", async () => {
  const { all, clock } = limitsOn({ x: { perHour: 5 } });
  const [limits] = all;
  await assert.rejects(limits!.take("x", 6), /at most 5/);
  await assert.rejects(limits!.take("x", 0), /more than 0/);
  await limits!.take("unheard-of", 1_000);
  assert.equal(limits!.has("x"), true);
  const refused: readonly object[] = [
    {},
    { perSecond: 1, perHour: 1 },
    { perSecond: 0 },
    { perDay: 1 },
  ];
  for (const limit of refused) assert.throws(() => limitsOn({ x: limit }), /limit "x"/);
  const aborted = new AbortController();
  await Promise.all([limits!.take("x", 5), clock.advance(20)]);
  const waiting = limits!.take("x", 1, { signal: aborted.signal });
  aborted.abort(new Error("changed my mind"));
  await assert.rejects(waiting, /changed my mind/);
  const closed = limits!.take("x", 1);
  limits!.close();
  await assert.rejects(closed, (error) => isCadreError(error, "CLOSED"));
});

test("agents claim no more than their limit and their capability's, in all processes together", async () => {
  const bench = testTeam();
  const begun: number[] = [];
  const limits = { "capability:work": { perSecond: 5 }, "agent:slow": { perMinute: 3 } };
  const agent = (name: string) =>
    defineAgent({ name, capacity: 50 }).does(Work, (n) => {
      begun.push(bench.clock.now());
      return n;
    });
  const first = await bench.start({ agents: [agent("one")], limits });
  await bench.start({ agents: [agent("two")], limits });
  const requests = Array.from({ length: 40 }, (_, n) => ({ definition: Work, input: n }));
  const handles = await first.tasks.createAll(requests);
  for (const handle of handles) await bench.until(handle.result(), 60_000);
  const granted = begun.map((at) => ({ at, amount: 1 }));
  assert.equal(begun.length, 40);
  assert.ok(mostWithin(granted, 990) <= 5, `${mostWithin(granted, 990)} within a second`);
  assert.ok(begun.at(-1)! - begun[0]! < 15_000);
  await bench.close();
});

test("a limited agent leaves to others what it may not begin", async () => {
  const bench = testTeam();
  const by: string[] = [];
  const agent = (name: string) =>
    defineAgent({ name, capacity: 10 }).does(Work, (n, ctx) => {
      by.push(ctx.agent);
      return n;
    });
  const limits = { "agent:slow": { perMinute: 2 } };
  const team = await bench.start({ agents: [agent("slow"), agent("free")], limits });
  const requests = Array.from({ length: 30 }, (_, n) => ({ definition: Work, input: n }));
  const handles = await team.tasks.createAll(requests);
  for (const handle of handles) await bench.until(handle.result(), 10_000);
  assert.ok(by.filter((name) => name === "slow").length <= 2);
  await bench.close();
});

test("a handler waits for a limit without its slot, or is refused", async () => {
  const bench = testTeam();
  const Ask = defineTask({ name: "ask", input: type<number>(), output: type<string>() });
  const agent = defineAgent({ name: "asker" })
    .does(Ask, async (deadlineMs, ctx) => {
      try {
        await ctx.limit("provider:model", 1, deadlineMs > 0 ? { deadlineMs } : {});
        return "asked";
      } catch (error) {
        return isCadreError(error) ? error.code : "?";
      }
    })
    .does(Work, (n) => n);
  const limits = { "provider:model": { perMinute: 1 } };
  const team = await bench.start({ agents: [agent], limits });
  const first = await team.tasks.create(Ask, 0);
  assert.equal(await bench.until(first.result()), "asked");
  const second = await team.tasks.create(Ask, 0);
  await bench.clock.advance(1_000);
  const third = await team.tasks.create(Ask, 5_000);
  const work = await team.tasks.create(Work, 9);
  assert.equal(await bench.until(work.result(), 5_000), 9, "its place is free meanwhile");
  assert.equal(await bench.until(third.result(), 5_000), "RATE_LIMITED");
  assert.equal((await second.state()).status, "running");
  assert.equal(await bench.until(second.result(), 90_000), "asked");
  await bench.close();
});
