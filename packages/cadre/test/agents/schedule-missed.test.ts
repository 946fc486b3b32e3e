import assert from "node:assert/strict";
import { test } from "node:test";

import type { AgentEvent, EventStore } from "cadre";
import type { Schedules } from "cadre/agents";
import { testTeam, type TestTeam } from "cadre/testing";

const tick = { event: "custom.tick", payload: { n: 1 } };

async function eventsOf(store: EventStore, pattern: string): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const { event } of store.read({ type: pattern })) events.push(event);
  return events;
}

/** The instants for which events of a type were fired, from a start. */
async function firedAt(bench: TestTeam, startAt: number): Promise<number[]> {
  const ids = (await eventsOf(bench.store, "custom.tick")).map(({ id }) => id);
  return ids.map((id) => Date.parse(id.slice(id.indexOf("@") + 1)) - startAt);
}

/** Runs schedules for a while, then nobody for `awayMs`, then others. Returns what was fired. */
async function afterAbsence(
  awayMs: number,
  declare: (schedules: Schedules, startAt: number) => Promise<unknown>,
): Promise<{ fired: number[]; missed: AgentEvent[]; next: number | undefined }> {
  const bench = testTeam();
  const startAt = bench.clock.now();
  const first = await bench.start();
  await declare(first.schedules, startAt);
  await bench.clock.advance(100);
  await bench.until(first.close());
  await bench.clock.advance(awayMs - 100 - (bench.clock.now() - startAt - 100));
  const second = await bench.start();
  await bench.clock.advance(500);
  const fired = await firedAt(bench, startAt);
  const missed = await eventsOf(bench.store, "schedule.missed");
  const nextAt = (await second.schedules.get("beat"))?.nextAt;
  await bench.close();
  return { fired, missed, next: nextAt === undefined ? undefined : nextAt - startAt };
}

test("of what was missed one fires, unless another policy is asked for", async () => {
  const preset = await afterAbsence(10_300, (schedules) => schedules.every("beat", 1_000, tick));
  assert.deepEqual(preset, { fired: [1_000], missed: [], next: 11_000 });
});

test('with "all" each of the missed fires, in order, up to the bound', async () => {
  const all = await afterAbsence(5_300, (schedules) =>
    schedules.every("beat", 1_000, tick, { missed: "all" }),
  );
  assert.deepEqual(all, { fired: [1_000, 2_000, 3_000, 4_000, 5_000], missed: [], next: 6_000 });
  const bounded = await afterAbsence(90_300, (schedules) =>
    schedules.every("beat", 1_000, tick, { missed: "all", maxMissed: 3 }),
  );
  assert.deepEqual(bounded, { fired: [1_000, 2_000, 3_000], missed: [], next: 91_000 });
});

test('with "skip" what is later than its grace never fires, and that is on record', async () => {
  const options = { missed: "skip", graceMs: 400 } as const;
  const skipped = await afterAbsence(10_700, (schedules) =>
    schedules.every("beat", 1_000, tick, options),
  );
  assert.deepEqual(skipped.fired, [11_000]);
  assert.equal((skipped.missed[0]!.payload as { passedOver: number }).passedOver, 9);
  const inGrace = await afterAbsence(10_300, (schedules) =>
    schedules.every("beat", 1_000, tick, options),
  );
  assert.deepEqual(inGrace.fired, [10_000]);
  const once = await afterAbsence(10_300, (schedules, startAt) =>
    schedules.at("beat", startAt + 1_000, tick, options),
  );
  assert.deepEqual([once.fired, once.missed.length, once.next], [[], 1, undefined]);
});
