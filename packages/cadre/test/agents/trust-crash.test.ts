/** A process dies before or after any one write: scores are those of a fold, each told once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { foldProjection, memoryStore, systemClock, type, type Clock, type EventStore } from "cadre";
import { defineAgent, defineTask, startCadre, trustProjection, type AnyAgent } from "cadre/agents";
import { dyingStore } from "./dying-store.ts";

const Sum = defineTask({
  name: "sum",
  capability: "add.numbers",
  input: type<readonly number[]>(),
  output: type<number>(),
});

const agents: readonly AnyAgent[] = [
  defineAgent({ name: "adder" }).does(
    Sum,
    { validate: { voters: { agents: ["checker"] }, deadlineMs: 60_000, rounds: 1 } },
    (numbers) => numbers.reduce((sum, each) => sum + each, 0),
  ),
  defineAgent({ name: "checker" }).votes(() => ({ verdict: "approve" })),
];

/** The time of one process: it ends with it. */
function mortalClock(): { readonly clock: Clock; stop(): void } {
  const timers = new Set<() => void>();
  let isOver = false;
  const after: Clock["after"] = (ms, run) => {
    if (isOver) return () => undefined;
    const cancel = systemClock.after(ms, () => {
      timers.delete(cancel);
      run();
    });
    timers.add(cancel);
    return () => {
      timers.delete(cancel);
      cancel();
    };
  };
  const clock: Clock = {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic(),
    yield: () => systemClock.yield(),
    sleep: (ms) => new Promise((resolve) => void after(ms, resolve)),
    after,
  };
  const stop = (): void => {
    isOver = true;
    for (const cancel of timers) cancel();
  };
  return { clock, stop };
}

async function until(what: () => boolean | Promise<boolean>): Promise<boolean> {
  for (let tries = 0; tries < 400; tries += 1) {
    if (await what()) return true;
    await systemClock.sleep(5);
  }
  return false;
}

const fast = { heartbeatMs: 20, suspectAfterMs: 60, leaseMs: 100 };

async function told(store: EventStore): Promise<readonly string[]> {
  return Array.fromAsync(store.read({ type: "score.updated" }), ({ event }) => event.id);
}

/** One life that may end early, and one that ends what is left. Returns the writes of the first. */
async function live(at: number, when: "before" | "after"): Promise<number> {
  const store = memoryStore();
  const death = dyingStore(store, { at, when }, ({ appends }) => appends !== undefined);
  const time = mortalClock();
  const { clock } = time;
  const home = { store: death.mortal, agents, trust: true, ...fast, name: "one", clock };
  const starting = startCadre(home);
  // Who has died answers nothing any more: neither its start nor its close is waited for.
  starting.then((first) => first.tasks.create(Sum, [1, 2], { id: "t" })).catch(() => undefined);
  await until(async () => death.isDead() || (await told(store)).length >= 2);
  if (!death.isDead()) await (await starting).close({ deadlineMs: 0 });
  time.stop();
  await using second = await startCadre({ store, agents, trust: true, ...fast, name: "two" });
  const task = await second.tasks.create(Sum, [1, 2], { id: "t" });
  assert.equal(await task.result({ timeoutMs: 10_000 }), 3);
  const isTold = await until(async () => {
    const { state } = await foldProjection(store, trustProjection(), { fromStart: true });
    return Object.keys(state.untold).length === 0 && (await told(store)).length >= 2;
  });
  assert.ok(isTold, `told: ${(await told(store)).length}`);
  await second.trust?.caughtUp();
  const ids = await told(store);
  assert.equal(new Set(ids).size, ids.length);
  const { state } = await foldProjection(store, trustProjection(), { fromStart: true });
  const record = state.scores["adder add.numbers"];
  // The checker's word once; what the work showed, once; and no more than one lost lease.
  assert.ok(record && Math.abs(record.good - 1.2) < 0.01, JSON.stringify(record));
  const [score] = second.trust!.scores("adder");
  assert.ok(Math.abs(score!.alpha - 1 - record.good) < 0.01);
  return death.writes();
}

test("scores after a death at any write are those of the log, each change told once", async () => {
  const writes = await live(Infinity, "before");
  assert.ok(writes > 5, String(writes));
  const lives: Promise<number>[] = [];
  for (let at = 1; at <= writes; at += 1) {
    for (const when of ["before", "after"] as const) lives.push(live(at, when));
    if (lives.length >= 8) await Promise.all(lives.splice(0));
  }
  await Promise.all(lives);
});
