/** The bridge dies before or after any one write, to the store or to the older topics. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { EventStore, Transport } from "cadre";
import { writesTo, type Death } from "./dying-store.ts";
import { changed } from "../changed.ts";
import { oldSide, WriteCode } from "./legacy-old-side.ts";

/** A process that is gone from one of its writes on, to the store or to the older topics. */
function mortal(store: EventStore, transport: Transport, death: Death | undefined) {
  let isDead = false;
  let writes = 0;
  const never = new Promise<never>(() => {});
  const guard =
    <Argument, Result>(
      write: (argument: Argument) => Promise<Result>,
      counts: (argument: Argument) => boolean,
    ) =>
    async (argument: Argument): Promise<Result> => {
      if (isDead) return never;
      if (counts(argument)) {
        writes += 1;
        isDead = writes === death?.at;
      }
      if (isDead && death?.when === "before") return never;
      const result = await write(argument);
      return isDead ? never : result;
    };
  const commit = guard<
    Parameters<EventStore["commit"]>[0],
    Awaited<ReturnType<EventStore["commit"]>>
  >((work) => store.commit(work), writesTo(/^task\//));
  const publish = guard<
    Parameters<Transport["publish"]>[0],
    Awaited<ReturnType<Transport["publish"]>>
  >(
    (batch) => transport.publish(batch),
    () => true,
  );
  return {
    store: changed(store, { commit }),
    // No direct path: every publish is a write.
    transport: changed(transport, { publish, publishNow: () => undefined }),
    writes: () => writes,
  };
}

/** The older agent works once for each id that it has not seen, and answers what it is asked again. */
async function runWithDeath(death: Death | undefined, fails: boolean): Promise<number> {
  const worked = new Map<string, number>();
  // Not closed: what is dead answers no close.
  const old = await oldSide(async (assigned, side) => {
    const known = worked.get(assigned.id) ?? 0;
    worked.set(assigned.id, known + 1);
    if (known > 0) return;
    await side.bench.clock.sleep(500);
    const { task_id } = assigned.payload as { task_id: string };
    if (fails && worked.size === 1) await side.say("task.failed", { task_id, error: "once" });
    else await side.complete(assigned);
  });
  const client = await old.bench.start({ name: "client" });
  const world = mortal(old.bench.store, old.transport(), death);
  const first = old.bridge({ bus: old.busOf("cadre", world.transport) });
  const dying = await old.bench.start({ name: "mortal", agents: first.agents, store: world.store });
  await first.start(dying);
  const handle = await client.tasks.create(WriteCode, { issue: 1 });
  await old.bench.clock.advance(5_000);
  if (death) {
    const next = old.bridge();
    await next.start(await old.bench.start({ name: "next", agents: next.agents }));
  }
  const result = await old.bench.until(handle.result(), 600_000);
  assert.deepEqual(result, { patch: "+1" }, JSON.stringify(death));
  assert.equal(
    worked.size,
    fails ? 2 : 1,
    `${JSON.stringify(death)}: ${[...worked.keys()].join()}`,
  );
  return world.writes();
}

for (const fails of [false, true]) {
  const what = fails ? "that fails once" : "that succeeds";
  test(`a task ${what} survives the bridge's death at any of its writes, worked on once each`, async () => {
    const writes = await runWithDeath(undefined, fails);
    assert.ok(writes >= 5, `${writes} writes`);
    for (let at = 1; at <= writes; at += 1) {
      for (const when of ["before", "after"] as const) await runWithDeath({ at, when }, fails);
    }
  });
}
