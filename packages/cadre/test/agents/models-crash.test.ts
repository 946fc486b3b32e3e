/** A process dies before or after any one write of a tool loop: every call is paid for once. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { EventStore } from "cadre";
import { testTeam } from "cadre/testing";
import { countingModel, Report, reporter, sdks, type Sdk, type World } from "./models-sdk.ts";

interface Death {
  readonly at: number;
  readonly when: "before" | "after";
}

interface Mode {
  readonly sdk: Sdk;
  readonly streams: boolean;
}

/** A store whose process is gone from one write on: nothing it asks for is answered any more. */
function dying(store: EventStore, death: Death | undefined) {
  let isDead = false;
  let writes = 0;
  const never = new Promise<never>(() => {});
  const commit: EventStore["commit"] = async (work) => {
    if (isDead) return never;
    const names = [
      ...(work.appends ?? []).map(({ stream }) => stream),
      ...(work.slots ?? []).map(({ name }) => name),
    ];
    const isWork = names.some((name) => /^(task|budget|pause|stream)\//.test(name));
    if (isWork) writes += 1;
    isDead = isWork && writes === death?.at;
    if (isDead && death?.when === "before") return never;
    const result = await store.commit(work);
    return isDead ? never : result;
  };
  const mortal = new Proxy(store, {
    get(target, name) {
      const value: unknown = name === "commit" ? commit : Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  return { mortal, writes: () => writes };
}

async function runWith({ sdk, streams }: Mode, death: Death | undefined): Promise<number> {
  const world: World = { paid: [], booked: [] };
  const bench = testTeam();
  const { mortal, writes } = dying(bench.store, death);
  const agents = () => [reporter(sdk, countingModel(world, sdk), world, streams)];
  const client = await bench.start({ name: "client" });
  await bench.start({ name: "mortal", agents: agents(), store: mortal });
  const budget = { tokens: 60_000, calls: 4 };
  const task = await client.tasks.create(Report, { city: "Oslo" }, { id: "r", budget });
  await bench.clock.advance(5_000);
  if (death) await bench.start({ name: "next", agents: agents() });
  const what = JSON.stringify({ sdk: sdk.name, streams, death });
  assert.equal(await bench.until(task.result(), 600_000), "All is booked.", what);
  // What had no receipt when the process died may have been paid for, and is asked for again.
  const again = world.paid.length - new Set(world.paid).size;
  assert.ok(again <= (death ? 1 : 0), `${what}: ${world.paid.join()}`);
  assert.equal(new Set(world.booked).size, 2, what);
  const [ledger] = await client.budgets.list();
  assert.equal(ledger?.spent.calls, 3, what);
  assert.equal(ledger.spent.tokens, 155, what);
  const left = ledger.reserved.calls + ledger.doubtful.calls;
  assert.ok(left <= again + (death ? 1 : 0), `${what}: ${JSON.stringify(ledger)}`);
  assert.ok(ledger.spent.calls + left >= world.paid.length, what);
  return writes();
}

for (const sdk of sdks) {
  for (const streams of [false, true]) {
    const mode = { sdk, streams };
    const how = `${sdk.name}, ${streams ? "streamed" : "at once"}`;
    test(`a tool loop survives a death at any of its writes (${how})`, async (t) => {
      const writes = await runWith(mode, undefined);
      assert.ok(writes >= 12, `${writes} writes`);
      for (let at = 1; at <= writes; at += 1) {
        for (const when of ["before", "after"] as const) await runWith(mode, { at, when });
      }
      t.diagnostic(`${writes} writes, ${2 * writes} deaths`);
    });
  }
}
