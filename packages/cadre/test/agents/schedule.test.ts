import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type, type AgentEvent, type ErrorCode, type EventStore } from "cadre";
import { defineAgent, defineSaga, defineTask, type Schedules } from "cadre/agents";
import { testTeam, type TestTeam } from "cadre/testing";

const hourMs = 3_600_000;
const tick = { event: "custom.tick", payload: { n: 1 } };
const Report = defineTask({ name: "report", input: type<string>(), output: type<string>() });

async function eventsOf(store: EventStore, pattern: string): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const { event } of store.read({ type: pattern })) events.push(event);
  return events;
}

/** The instants for which events of a type were fired, from a start. */
async function firedAt(bench: TestTeam, startAt: number, event = "custom.tick"): Promise<number[]> {
  const ids = (await eventsOf(bench.store, event)).map(({ id }) => id);
  return ids.map((id) => Date.parse(id.slice(id.indexOf("@") + 1)) - startAt);
}

function refused(code: ErrorCode, says: RegExp): (error: unknown) => boolean {
  return (error) => isCadreError(error, code) && says.test(error.message);
}

test("an event is published at its instant, not before, and once", async () => {
  const bench = testTeam();
  const team = await bench.start();
  const heard: AgentEvent[] = [];
  await team.bus.subscribe("custom.#", (event) => void heard.push(event));
  const dueAt = bench.clock.now() + 5_000;
  const state = await team.schedules.at("launch", dueAt, { ...tick, key: "k" });
  assert.equal(state.nextAt, dueAt);
  assert.deepEqual(await team.schedules.list(), [state]);
  await bench.clock.advance(4_999);
  assert.equal(heard.length, 0);
  await bench.clock.advance(1_000);
  assert.deepEqual(
    heard.map(({ id, payload, metadata }) => ({ id, payload, key: metadata.key })),
    [{ id: `launch@${new Date(dueAt).toISOString()}`, payload: { n: 1 }, key: "k" }],
  );
  const [fired] = await eventsOf(bench.store, "schedule.fired");
  assert.equal(heard[0]?.metadata.causationId, fired?.id);
  assert.equal(await team.schedules.get("launch"), undefined);
  await bench.clock.advance(60_000);
  assert.equal(heard.length, 1);
  await bench.close();
});

test("a task is created with the input and the options it was given, and is worked on", async () => {
  const bench = testTeam();
  const done: string[] = [];
  const writer = defineAgent({ name: "writer" }).does(Report, (input, ctx) => {
    done.push(`${input} by ${ctx.task.id}`);
    return input;
  });
  const team = await bench.start({ agents: [writer] });
  const dueAt = bench.clock.now() + 1_000;
  const options = { priority: "high", maxAttempts: 7, assignTo: "writer" } as const;
  await team.schedules.at("daily", dueAt, { task: Report, input: "numbers", options });
  await bench.clock.advance(2_000);
  const id = `daily@${new Date(dueAt).toISOString()}`;
  assert.deepEqual(done, [`numbers by ${id}`]);
  const task = await team.tasks.get(id);
  assert.equal(task?.status, "completed");
  assert.equal(task?.priority, "high");
  assert.equal(task?.maxAttempts, 7);
  await bench.close();
});

test("a saga that is scheduled is listed as one", async () => {
  const bench = testTeam();
  const Sweep = defineSaga({ name: "sweep", input: type<number>() }, (saga) =>
    saga.step("all", () => "clean", { undo: () => {} }),
  );
  const team = await bench.start({ agents: [defineAgent({ name: "broom" }).does(Sweep)] });
  await team.schedules.at("clean", bench.clock.now() + 1_000, { task: Sweep, input: 1 });
  await bench.clock.advance(2_000);
  const [saga] = await team.sagas.list({ name: "sweep" });
  assert.equal(saga?.status, "completed");
  assert.equal((await eventsOf(bench.store, "saga.started")).length, 1);
  await bench.close();
});

test("an interval fires without drift, and a cron expression in its time zone", async () => {
  const bench = testTeam();
  const startAt = Date.parse("2026-03-28T12:00:00Z");
  bench.clock.jump(startAt - bench.clock.now());
  const team = await bench.start();
  await team.schedules.every("beat", 20 * 60_000, tick);
  const daily = { event: "custom.daily", payload: {} };
  await team.schedules.cron("daily", "30 2 * * *", daily, { timeZone: "Europe/Berlin" });
  await bench.clock.advance(hourMs + 5);
  assert.deepEqual(
    await firedAt(bench, startAt),
    [20, 40, 60].map((min) => min * 60_000),
  );
  assert.equal((await team.schedules.get("beat"))?.fired, 3);
  assert.equal(await team.schedules.cancel("beat"), true);
  for (const next of ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]) {
    bench.clock.jump(Date.parse(next) - 5_000 - bench.clock.now());
    await bench.clock.advance(4_999);
    const before = await firedAt(bench, 0, "custom.daily");
    await bench.clock.advance(1);
    assert.equal((await firedAt(bench, 0, "custom.daily")).length, before.length + 1);
  }
  assert.deepEqual(
    (await firedAt(bench, 0, "custom.daily")).map((at) => new Date(at).toISOString()),
    ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"],
  );
  await bench.close();
});

test("the list has what is due next first, and equals by id", async () => {
  const bench = testTeam();
  const { schedules } = await bench.start();
  const now = bench.clock.now();
  await schedules.at("late", now + 9_000, tick);
  await schedules.at("b", now + 5_000, tick);
  await schedules.at("a", now + 5_000, tick);
  await schedules.every("soon", 1_000, tick);
  const ids = async (): Promise<string[]> => (await schedules.list()).map(({ id }) => id);
  assert.deepEqual(await ids(), ["soon", "a", "b", "late"]);
  await schedules.move("late", now + 500);
  assert.deepEqual(await ids(), ["late", "soon", "a", "b"]);
  await bench.close();
});

test("a cancelled schedule fires no more, and can be made anew", async () => {
  const bench = testTeam();
  const startAt = bench.clock.now();
  const { schedules } = await bench.start();
  await schedules.every("beat", 1_000, tick);
  await bench.clock.advance(2_500);
  assert.equal(await schedules.cancel("beat", "enough"), true);
  assert.equal(await schedules.cancel("beat"), false);
  await bench.clock.advance(5_000);
  assert.deepEqual(await firedAt(bench, startAt), [1_000, 2_000]);
  const [cancelled] = await eventsOf(bench.store, "schedule.cancelled");
  assert.deepEqual(cancelled?.payload, {
    scheduleId: "beat",
    reason: "enough",
    lastDueAt: startAt + 2_000,
  });
  await schedules.every("beat", 1_000, tick);
  await bench.clock.advance(1_500);
  assert.deepEqual(await firedAt(bench, startAt), [1_000, 2_000, 8_500]);
  await bench.close();
});

test("a move changes the next instant; an interval counts from it, a cron goes on behind it", async () => {
  const bench = testTeam();
  const startAt = Date.parse("2026-05-01T00:00:00Z");
  bench.clock.jump(startAt - bench.clock.now());
  const { schedules } = await bench.start();
  await schedules.every("beat", 10_000, tick);
  await schedules.cron("hourly", "0 * * * *", { event: "custom.hour", payload: {} });
  await schedules.at("once", startAt + 60_000, { event: "custom.once", payload: {} });
  await schedules.move("beat", startAt + 3_000);
  await schedules.move("hourly", new Date(startAt + 50 * 60_000));
  await schedules.move("once", startAt + 90_000);
  await bench.clock.advance(100_000);
  for (const minute of [50, 60, 120, 180]) {
    bench.clock.jump(startAt + minute * 60_000 - bench.clock.now());
    await bench.clock.advance(10_000); // the longest that it may take to notice
  }
  assert.deepEqual((await firedAt(bench, startAt)).slice(0, 3), [3_000, 13_000, 23_000]);
  assert.deepEqual(
    (await firedAt(bench, startAt, "custom.hour")).map((at) => at / 60_000),
    [50, 120, 180], // that of 60 minutes was moved
  );
  assert.deepEqual(await firedAt(bench, startAt, "custom.once"), [90_000]);
  await assert.rejects(
    schedules.move("none", startAt + 9 * hourMs),
    refused("NOT_FOUND", /"none"/),
  );
  await assert.rejects(schedules.move("beat", startAt), refused("INVALID_OPTION", /passed/));
  await bench.close();
});

test("what is declared again stays as it is; another definition replaces it", async () => {
  const bench = testTeam();
  const startAt = bench.clock.now();
  const { schedules } = await bench.start();
  const first = await schedules.every("beat", 10_000, tick);
  await bench.clock.advance(4_000);
  assert.deepEqual(await schedules.every("beat", 10_000, tick), first);
  // The same trigger: the next instant stays. Another one counts from now.
  const other = await schedules.every("beat", 10_000, { event: "custom.other", payload: {} });
  assert.equal(other.nextAt, startAt + 10_000);
  assert.equal((await schedules.every("beat", 5_000, tick)).nextAt, startAt + 9_000);
  const created = await eventsOf(bench.store, "schedule.created");
  assert.deepEqual(
    created.map(({ payload }) => (payload as { replaces?: boolean }).replaces ?? false),
    [false, true, true],
  );
  await bench.close();
});

test("a single instant that has fired does not fire again when it is declared again", async () => {
  const bench = testTeam();
  const startAt = bench.clock.now();
  const { schedules } = await bench.start();
  await schedules.at("launch", startAt + 1_000, tick);
  await bench.clock.advance(2_000);
  const again = await schedules.at("launch", startAt + 1_000, tick);
  assert.equal(again.nextAt, undefined);
  assert.equal(again.lastDueAt, startAt + 1_000);
  await schedules.at("launch", startAt + 1_000, tick, { missed: "once", past: "fire" });
  await bench.clock.advance(2_000);
  assert.deepEqual(await firedAt(bench, startAt), [1_000]);
  // Another definition is another schedule, and its firing has an id of its own.
  const other = { ...tick, payload: { n: 2 } };
  await schedules.at("launch", startAt + 1_000, other, { past: "fire" });
  await bench.clock.advance(2_000);
  assert.deepEqual(await firedAt(bench, startAt), [1_000, 1_001]);
  await bench.close();
});

test("impossible schedules are refused, naming what is wrong", async () => {
  const bench = testTeam();
  const { schedules } = await bench.start();
  const now = bench.clock.now();
  const misspelt = { missed: "once", grace: 1 } as const;
  const bad: readonly [attempt: (schedules: Schedules) => Promise<unknown>, says: RegExp][] = [
    [({ at }) => at.call(schedules, "", now + 1, tick), /no id of a schedule/],
    [({ at }) => at.call(schedules, "a/b", now + 1, tick), /"a\/b"/],
    [({ at }) => at.call(schedules, "x".repeat(129), now + 1, tick), /128/],
    [({ at }) => at.call(schedules, "a", now - 1, tick), /passed 1 ms ago.*past: "fire"/],
    [({ at }) => at.call(schedules, "a", NaN, tick), /when is NaN/],
    [({ every }) => every.call(schedules, "a", 0, tick), /everyMs/],
    [({ every }) => every.call(schedules, "a", 1.5, tick), /everyMs/],
    [({ every }) => every.call(schedules, "a", 9, tick, { startAt: -1 }), /startAt/],
    [({ cron }) => cron.call(schedules, "a", "every day", tick), /"every day" can't be read/],
    [({ cron }) => cron.call(schedules, "a", "0 0 30 2 *", tick), /never due/],
    [({ cron }) => cron.call(schedules, "a", "* * * * *", tick, { timeZone: "Mars/X" }), /Mars/],
    [
      ({ every }) => every.call(schedules, "a", 9, tick, { missed: "never" as "once" }),
      /"missed".*"once", "all", "skip"/,
    ],
    [({ every }) => every.call(schedules, "a", 9, tick, misspelt), /no option "grace".*"graceMs"/],
    [({ every }) => every.call(schedules, "a", 9, { ...tick, keys: 1 } as typeof tick), /"keys"/],
  ];
  for (const [attempt, says] of bad) {
    await assert.rejects(attempt(schedules), refused("INVALID_OPTION", says), String(says));
  }
  const wrong = { event: "task.created", payload: {} };
  await assert.rejects(schedules.every("a", 9, wrong), refused("INVALID_PAYLOAD", /task\.created/));
  const unknown = { event: "nothing.of.ours", payload: {} };
  await assert.rejects(schedules.every("a", 9, unknown), refused("UNKNOWN_TYPE", /nothing/));
  assert.deepEqual(await schedules.list(), []);
  await bench.close();
});

test("a wall clock that is set forward is noticed soon; set back, nothing fires twice", async () => {
  const bench = testTeam();
  const { schedules } = await bench.start();
  await schedules.cron("hourly", "0 0 * * * *", tick);
  const count = async (): Promise<number> => (await eventsOf(bench.store, "custom.tick")).length;
  for (const [byMs, fired] of [
    [hourMs, 1],
    [-hourMs, 1],
    [hourMs, 1],
    [hourMs, 2],
  ] as const) {
    bench.clock.jump(byMs);
    await bench.clock.advance(10_000); // the longest that it may take to notice
    assert.equal(await count(), fired);
  }
  const ids = (await eventsOf(bench.store, "custom.tick")).map(({ id }) => id);
  assert.equal(ids.length, new Set(ids).size);
  await bench.close();
});

test("a schedule that another process changes is seen at once, or soon", async () => {
  const bench = testTeam();
  const startAt = bench.clock.now();
  const stays = await bench.start();
  const other = await bench.start();
  await other.schedules.at("launch", startAt + 60_000, tick);
  await bench.clock.advance(2_000);
  await bench.until(other.close());
  await bench.clock.advance(60_000);
  assert.deepEqual(await firedAt(bench, startAt), [60_000]);
  assert.deepEqual(await stays.schedules.list(), []);
  await bench.close();
});

test("a team without schedules does nothing for them", async () => {
  const bench = testTeam();
  const team = await bench.start();
  await bench.clock.advance(500);
  const waiting = bench.clock.pending;
  await team.schedules.at("launch", bench.clock.now() + hourMs, tick);
  await bench.clock.advance(300);
  assert.equal(bench.clock.pending, waiting + 1);
  await team.schedules.cancel("launch");
  await bench.clock.advance(300);
  assert.equal(bench.clock.pending, waiting);
  await bench.close();
});
