/** An agent works in its hours, and sleeps outside of them. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, type Cadre } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { hoursAt } from "#src/agents/health/active-when.ts";

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });
const hourMs = 3_600_000;
const minuteMs = 60_000;
const slow = { heartbeatMs: 20_000, suspectAfterMs: 60_000, leaseMs: 90_000 };
const halves = { from: "0 * * * *", until: "30 * * * *" };
const office = { from: "0 9 * * 1-5", until: "0 17 * * 1-5" };
const at = (text: string): number => Date.parse(text);

function cardOf(team: Cadre, agent: string) {
  return team.directory.find({ agent })[0]!;
}

/** Until this minute of an hour. */
async function until(bench: ReturnType<typeof testTeam>, minute: number): Promise<void> {
  const inHour = bench.clock.now() % hourMs;
  await bench.clock.advance(hourMs - inHour + minute * minuteMs);
}

test("hours go from each instant of one expression to the next of another", () => {
  const cases: readonly (readonly [string, boolean, string])[] = [
    ["2026-03-02T08:59:59Z", false, "2026-03-02T09:00:00Z"],
    ["2026-03-02T09:00:00Z", true, "2026-03-02T17:00:00Z"],
    ["2026-03-02T16:59:59Z", true, "2026-03-02T17:00:00Z"],
    ["2026-03-02T17:00:00Z", false, "2026-03-03T09:00:00Z"],
    ["2026-03-06T18:00:00Z", false, "2026-03-09T09:00:00Z"],
  ];
  for (const [now, isActive, changes] of cases) {
    assert.deepEqual(hoursAt(office, at(now)), { isActive, changesAt: at(changes) }, now);
  }
  const night = { from: "0 22 * * *", until: "0 6 * * *" };
  assert.equal(hoursAt(night, at("2026-03-02T02:00:00Z")).isActive, true);
  assert.equal(hoursAt(night, at("2026-03-02T12:00:00Z")).isActive, false);
});

test("hours are those of their time zone, over the change to summer time", () => {
  const berlin = { ...office, timeZone: "Europe/Berlin" };
  assert.equal(hoursAt(berlin, at("2026-03-27T07:59:59Z")).changesAt, at("2026-03-27T08:00:00Z"));
  assert.equal(hoursAt(berlin, at("2026-03-30T06:00:00Z")).changesAt, at("2026-03-30T07:00:00Z"));
});

test("outside its hours an agent claims and hears nothing, and its card says until when", async () => {
  const bench = testTeam();
  await until(bench, 50);
  const heard: number[] = [];
  const clerk = defineAgent({ name: "clerk", activeWhen: halves })
    .does(Work, (n) => n)
    .on("custom.note", () => void heard.push(bench.clock.now()));
  const team = await bench.start({ agents: [clerk], ...slow });
  const opensAt = bench.clock.now() + 10 * minuteMs;
  const task = await team.tasks.create(Work, 1);
  await team.bus.publish("custom.note", {});
  await bench.clock.advance(5 * minuteMs);
  const { card, presence } = cardOf(team, "clerk");
  assert.equal(presence, "online");
  assert.equal(card.state, "asleep");
  assert.equal(card.nextActiveAt, opensAt);
  assert.equal((await task.state()).status, "offered");
  assert.deepEqual(heard, []);
  assert.equal(await bench.until(task.result(), 6 * minuteMs), 1);
  await bench.clock.advance(2 * minuteMs);
  assert.equal(heard.length, 1);
  assert.ok(heard[0]! >= opensAt);
  assert.equal(cardOf(team, "clerk").card.state, "running");
  await bench.clock.advance(30 * minuteMs);
  assert.equal(cardOf(team, "clerk").card.state, "asleep");
  assert.equal(cardOf(team, "clerk").card.nextActiveAt, opensAt + hourMs);
  await bench.close();
});

test("what runs at the end of the hours goes on; new work goes to others", async () => {
  const bench = testTeam();
  await until(bench, 25);
  const first = defineAgent({ name: "first", activeWhen: halves, capacity: 5 }).does(
    Work,
    async (n, ctx) => {
      await ctx.sleep("long", 10 * minuteMs);
      return n;
    },
  );
  const second = defineAgent({
    name: "second",
    capacity: 5,
    activeWhen: { from: halves.until, until: halves.from },
  }).does(Work, (n) => -n);
  const team = await bench.start({ agents: [first, second], ...slow });
  const long = await team.tasks.create(Work, 1);
  await bench.clock.advance(7 * minuteMs);
  assert.equal(cardOf(team, "first").card.state, "asleep");
  const short = await team.tasks.create(Work, 2);
  assert.equal(await bench.until(short.result()), -2);
  assert.equal(await bench.until(long.result(), 5 * minuteMs), 1);
  await bench.close();
});

test("an order stands beside the hours: paused stays paused, resumed waits for them", async () => {
  const bench = testTeam();
  await until(bench, 10);
  const clerk = defineAgent({ name: "clerk", activeWhen: halves }).does(Work, (n) => n);
  const team = await bench.start({ agents: [clerk], ...slow });
  await team.agents.pause("clerk");
  await bench.clock.advance(hourMs);
  assert.equal(cardOf(team, "clerk").card.state, "paused");
  await bench.clock.advance(30 * minuteMs);
  await team.agents.resume("clerk");
  await bench.clock.advance(2 * minuteMs);
  assert.equal(cardOf(team, "clerk").card.state, "asleep");
  await bench.clock.advance(25 * minuteMs);
  assert.equal(cardOf(team, "clerk").card.state, "running");
  await team.agents.restart("clerk");
  await bench.clock.advance(2 * minuteMs);
  assert.equal(cardOf(team, "clerk").card.state, "running");
  await bench.close();
});

test("hours that make no sense are refused where they are declared", () => {
  const refused: readonly unknown[] = [
    { from: "0 9 * * 1-5" },
    { from: "0 9 * * 1-5", until: "0 9 * * 1-5" },
    { from: "nine", until: "0 17 * * *" },
    { from: "0 9 31 2 *", until: "0 17 * * *" },
    { ...office, timeZone: "Europe/Atlantis" },
    { ...office, zone: "UTC" },
  ];
  for (const hours of refused) {
    assert.throws(
      () => defineAgent({ name: "a", activeWhen: hours as typeof office }),
      { code: "INVALID_OPTION" },
      JSON.stringify(hours),
    );
  }
});

test("a handler sleeps until an instant, over a restart no longer", async () => {
  const bench = testTeam();
  const dueAt = bench.clock.now() + 10 * minuteMs;
  const ends: number[] = [];
  const agent = () =>
    defineAgent({ name: "a" }).does(Work, async (n, ctx) => {
      await ctx.sleep("until then", new Date(dueAt));
      ends.push(bench.clock.now());
      await ctx.sleep("that is over", new Date(dueAt - 1));
      return n;
    });
  const team = await bench.start({ agents: [agent()], ...slow });
  const task = await team.tasks.create(Work, 1);
  await bench.clock.advance(5 * minuteMs);
  await bench.until(team.close({ deadlineMs: 0 }));
  const next = await bench.start({ agents: [agent()], ...slow });
  const again = await next.tasks.create(Work, 1, { id: task.id });
  assert.equal(await bench.until(again.result(), 10 * minuteMs), 1);
  assert.ok(ends.length === 1 && ends[0]! >= dueAt && ends[0]! < dueAt + 1_000);
  await bench.close();
});

test("a sleep until no instant is refused", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "a" }).does(Work, async (n, ctx) => {
    await ctx.sleep("never", new Date(Number.NaN));
    return n;
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Work, 1, { maxAttempts: 1 });
  await assert.rejects(bench.until(task.result()), { message: /sleep is Invalid Date/ });
  await bench.close();
});
