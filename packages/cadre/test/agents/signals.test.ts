import assert from "node:assert/strict";
import { test } from "node:test";

import { createEvent, silentLogger, type AgentEvent } from "cadre";
import { SeededRandom, testTeam, type TestTeam } from "cadre/testing";
import { SignalHub, type SignalLog, type SignalWait } from "#src/agents/signal-hub.ts";

const random = new SeededRandom(1);

function append(bench: TestTeam, stream: string, type: string): Promise<unknown> {
  const event = createEvent({ clock: bench.clock, random, source: "test" }, type, {});
  return bench.store.commit({ appends: [{ stream, expectedVersion: "any", events: [event] }] });
}

/** A hub on the store's own log, as it is seen through `seen`. */
async function hubOn(bench: TestTeam, seen: Partial<SignalLog> = {}) {
  const { clock } = bench;
  const { bus } = await bench.start();
  const store: SignalLog = {
    read: (query) => bench.store.read(query),
    head: () => bench.store.head(),
    watch: (wake) => bench.store.watch(wake),
    ...seen,
  };
  const hub = new SignalHub({ store, clock, bus, sameLog: true, logger: silentLogger });
  const since = { taskId: "t", at: clock.now() };
  await append(bench, "task/t", "task.created");
  const taken = new Set<string>();
  const end = new AbortController();
  const wait = (more: Partial<SignalWait> = {}): Promise<AgentEvent | undefined> =>
    hub.wait({
      pattern: "custom.paid",
      since,
      accepts: ({ id }) => !taken.has(id),
      take: ({ id }) => Promise.resolve(!taken.has(id) && taken.add(id).size > 0),
      dueAt: undefined,
      signal: end.signal,
      ...more,
    });
  return { wait, end, startedAt: since.at };
}

/** Reads that take their time, as those of a long log do. */
function slowReads(bench: TestTeam): Pick<SignalLog, "read"> {
  return {
    async *read(query) {
      await bench.clock.sleep(1_000);
      yield* bench.store.read(query);
    },
  };
}

for (const [when, atMs, isFound] of [
  ["in time counts", 5_000, true],
  ["too late does not count", 15_000, false],
] as const) {
  test(`an event that came ${when}, although nobody ran until the time was over`, async () => {
    const bench = testTeam();
    const { wait, startedAt } = await hubOn(bench, slowReads(bench));
    await bench.clock.advance(atMs);
    await append(bench, "orders", "custom.paid");
    await bench.clock.advance(20_000 - atMs);
    const found = await bench.until(wait({ dueAt: startedAt + 10_000 }));
    assert.equal(found?.type, isFound ? "custom.paid" : undefined);
    await bench.close();
  });
}

test("an event that comes as the time ends is found by the last look", async () => {
  const bench = testTeam();
  const { wait, startedAt } = await hubOn(bench, slowReads(bench));
  const waiting = wait({ dueAt: startedAt + 10_000 });
  await bench.clock.advance(9_999);
  await append(bench, "orders", "custom.paid");
  assert.equal((await bench.until(waiting))?.type, "custom.paid");
  await bench.close();
});

test("an event that comes at any moment of a look is found by it or by the next", async () => {
  const bench = testTeam();
  for (let turns = 0; turns < 20; turns += 1) {
    let wake = (): void => {};
    const { wait, end } = await hubOn(bench, {
      watch: (listener) => {
        wake = listener;
        return () => {};
      },
    });
    let found: AgentEvent | undefined;
    const waiting = wait({ pattern: `custom.n${turns}` }).then(
      (event) => (found = event),
      () => undefined,
    );
    await bench.clock.settle();
    wake();
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
    const appended = append(bench, "orders", `custom.n${turns}`);
    wake();
    await appended;
    await bench.clock.settle();
    end.abort(new Error("It was not found."));
    await waiting;
    assert.ok(found, `after ${turns} turns`);
  }
  await bench.close();
});

test("each of two waits takes one of two events, and a second copy of an event none", async () => {
  const bench = testTeam();
  const { wait, end } = await hubOn(bench);
  const first = wait();
  const second = wait();
  await append(bench, "orders", "custom.paid");
  await append(bench, "orders", "custom.paid");
  const ids = [await first, await second].map((event) => event?.id);
  assert.equal(new Set(ids).size, 2);
  const third = wait();
  await bench.clock.advance(1_000);
  end.abort(new Error("stopped"));
  await assert.rejects(third, /stopped/);
  await bench.close();
});

test("a hub listens to nothing when nobody waits", async () => {
  const bench = testTeam();
  let watching = 0;
  const { wait, startedAt } = await hubOn(bench, {
    watch: (listener) => {
      watching += 1;
      const end = bench.store.watch(listener);
      return () => {
        watching -= 1;
        end();
      };
    },
  });
  const waits = [1, 2, 3].map((each) => wait({ dueAt: startedAt + 1_000 * each }));
  await bench.clock.settle();
  assert.equal(watching, 1);
  await bench.until(Promise.all(waits));
  assert.equal(watching, 0);
  await bench.close();
});
