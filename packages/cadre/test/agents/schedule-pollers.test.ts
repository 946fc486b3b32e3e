/** Several processes that look after the same schedules. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { type, type AgentEvent, type EventStore } from "cadre";
import { defineTask, startCadre, type Cadre } from "cadre/agents";
import { testTeam, VirtualClock } from "cadre/testing";
import { withTempFolder } from "../servers/temporary.ts";

const tick = { event: "custom.tick", payload: { n: 1 } };
const Report = defineTask({ name: "report", input: type<string>(), output: type<string>() });

async function eventsOf(store: EventStore, pattern: string): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const { event } of store.read({ type: pattern })) events.push(event);
  return events;
}

const manyRuns = { events: 20, everyMs: 1_000 };

/** Starts three teams and lets them fire; each instant must have fired once. */
async function fireWithThree(
  teams: readonly Cadre[],
  clock: VirtualClock,
  advance: (ms: number) => Promise<void> = (ms) => clock.advance(ms),
): Promise<void> {
  const startAt = clock.now();
  const { events, everyMs } = manyRuns;
  const work = { task: Report, input: "x" };
  // Each process declares them, as at a start.
  for (const { schedules } of teams) {
    await schedules.every("beat", everyMs, tick, { startAt: startAt + everyMs });
    await schedules.every("work", everyMs, work, { startAt: startAt + everyMs });
  }
  await advance(events * everyMs + 100);
  const { store } = teams[0]!;
  const expected = Array.from({ length: events }, (_, index) =>
    new Date(startAt + (index + 1) * everyMs).toISOString(),
  );
  const ticks = (await eventsOf(store, "custom.tick")).map(({ id }) => id);
  assert.deepEqual(
    ticks,
    expected.map((at) => `beat@${at}`),
  );
  const tasks = (await teams[0]!.tasks.list()).map(({ id }) => id);
  assert.deepEqual(
    tasks,
    expected.map((at) => `work@${at}`),
  );
  assert.equal((await eventsOf(store, "schedule.fired")).length, 2 * events);
  assert.equal((await eventsOf(store, "schedule.created")).length, 2);
}

test("three pollers on one store in memory fire each instant once", async () => {
  const bench = testTeam();
  const teams = [await bench.start(), await bench.start(), await bench.start()];
  await fireWithThree(teams, bench.clock);
  await bench.close();
});

test("three pollers on one SQLite file fire each instant once, and a fourth goes on", async () => {
  await withTempFolder(async (folder) => {
    const clock = new VirtualClock();
    const options = { store: `sqlite:${join(folder, "team.db")}`, clock, orchestrator: false };
    const teams = [];
    for (let index = 0; index < 3; index += 1) teams.push(await startCadre(options));
    await fireWithThree(teams, clock);
    const closing = Promise.all(teams.map((team) => team.close({ deadlineMs: 100 })));
    await clock.advance(2_000);
    await closing;
    const fourth = await startCadre(options);
    assert.deepEqual(
      (await fourth.schedules.list()).map(({ id }) => id),
      ["beat", "work"],
    );
    await clock.advance(1_500);
    const count = (await eventsOf(fourth.store, "custom.tick")).length;
    assert.ok(count > manyRuns.events, `${count} ticks`);
    const ended = fourth.close({ deadlineMs: 100 });
    await clock.advance(2_000);
    await ended;
  });
});
