/** A process dies before or after any one write of a saga: the next one ends it as it must end. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { TerminalError, type } from "cadre";
import { defineAgent, defineSaga } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { dyingStore, writesTo, type Death } from "./dying-store.ts";

/** What stands outside of every process. It knows the keys that it has seen. */
class World {
  readonly standing = new Set<string>();
  readonly seen = new Set<string>();
  runs = 0;

  effect(key: string): string {
    this.runs += 1;
    this.seen.add(key);
    this.standing.add(key);
    return key;
  }
}

/** Four effects, two of them side by side; the last refuses when it should not work. */
function sagaOn(world: World) {
  return defineSaga({ name: "order", input: type<{ works: boolean }>() }, (saga) =>
    saga
      .step("reserve", ({ key }) => world.effect(key), {
        after: "retry",
        undo: ({ key }) => world.standing.delete(key),
      })
      .sleep("think", 500)
      .parallel(
        (branch) =>
          branch.step("charge", ({ key }) => world.effect(key), {
            after: "check",
            check: ({ key }) => (world.standing.has(key) ? key : undefined),
            undo: ({ key, results }) => {
              assert.match(results.reserve, /reserve$/);
              world.standing.delete(key);
            },
          }),
        (branch) =>
          branch.step("pack", ({ key }) => world.effect(key), {
            after: "retry",
            undo: ({ key }) => world.standing.delete(key),
          }),
      )
      .step(
        "ship",
        ({ input, key }) => {
          if (!input.works) throw new TerminalError("nobody delivers there");
          return world.effect(key);
        },
        { pivot: true },
      )
      .step("thank", () => "thanks"),
  );
}

async function runWith(works: boolean, death: Death | undefined): Promise<number> {
  const world = new World();
  const bench = testTeam();
  const { mortal, writes } = dyingStore(bench.store, death, writesTo(/^task\//));
  const agents = () => [defineAgent({ name: "shop" }).does(sagaOn(world))];
  const client = await bench.start({ name: "client" });
  const handle = await client.sagas.start(sagaOn(world), { works }, { key: "1" });
  await bench.start({ name: "mortal", agents: agents(), store: mortal });
  await bench.clock.advance(5_000);
  if (death) await bench.start({ name: "next", agents: agents() });
  const end = await bench.until(
    handle.result().then(
      () => "completed",
      () => "undone",
    ),
    600_000,
  );
  const what = JSON.stringify({ works, death });
  assert.equal(end, works ? "completed" : "undone", what);
  assert.equal((await client.sagas.get(handle.id))?.phase, end, what);
  const names = [...world.standing].map((key) => key.slice(key.lastIndexOf("/") + 1)).toSorted();
  assert.deepEqual(names, works ? ["charge", "pack", "reserve", "ship"] : [], what);
  assert.ok(world.runs <= world.seen.size + 2, `${what}: at most what was in flight ran again`);
  return writes();
}

for (const works of [true, false]) {
  const way = works ? "forward" : "backward";
  test(`a saga survives a death at any of its writes, on its way ${way}`, async () => {
    const writes = await runWith(works, undefined);
    assert.ok(writes >= 6, `${writes} writes`);
    for (let at = 1; at <= writes; at += 1) {
      for (const when of ["before", "after"] as const) await runWith(works, { at, when });
    }
  });
}
