/** A process dies before or after any one write of a tool loop: every call is paid for once. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { testTeam } from "cadre/testing";
import { dyingStore, writesTo, type Death } from "./dying-store.ts";
import { countingModel, Report, reporter, sdks, type Sdk, type World } from "./models-sdk.ts";

interface Mode {
  readonly sdk: Sdk;
  readonly streams: boolean;
}

async function runWith({ sdk, streams }: Mode, death: Death | undefined): Promise<number> {
  const world: World = { paid: [], booked: [] };
  const bench = testTeam();
  const { mortal, writes } = dyingStore(
    bench.store,
    death,
    writesTo(/^(task|budget|pause|stream)\//),
  );
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
