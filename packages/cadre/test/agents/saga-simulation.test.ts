/**
 * Sagas under the simulator: whatever crashes, freezes or is cut off, every one of them ends
 * completed or wholly compensated, and the effect of a key happens once.
 *
 * CADRE_SAGA_SEEDS sets the number of seeds (12 unless set); CADRE_SEED runs one alone.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import { TerminalError, type, type EventStore } from "cadre";
import { defineAgent, defineSaga, type Cadre } from "cadre/agents";
import { everyFault, simulateSeeds, type Scenario } from "cadre/testing";

const seeds = Number(process.env["CADRE_SAGA_SEEDS"] ?? 12);
const isAlone = process.env["CADRE_SEED"] !== undefined;

type Kind = "fine" | "declined" | "refused" | "cancelled" | "signalled";

/** What is outside of every process: a key counts once, and what it did can be taken back. */
class World {
  readonly standing = new Map<string, number>();
  readonly undone = new Set<string>();

  effect(key: string): string {
    // Whoever comes again with a key that was taken back was fenced off: it must not count.
    if (!this.undone.has(key) && !this.standing.has(key)) this.standing.set(key, 1);
    return key;
  }

  undo(key: string): void {
    this.undone.add(key);
    this.standing.delete(key);
  }
}

const kinds: readonly Kind[] = ["fine", "declined", "refused", "cancelled", "signalled", "fine"];

const orderOn = (world: World) =>
  defineSaga({ name: "order", input: type<Kind>(), maxAttempts: 40 }, (saga) =>
    saga
      .step("reserve", ({ key }) => world.effect(key), {
        after: "retry",
        undo: ({ key }) => world.undo(key),
      })
      .parallel(
        (branch) =>
          branch.step(
            "charge",
            ({ input, key }) => {
              if (input === "declined") throw new TerminalError("the bank declines");
              return world.effect(key);
            },
            {
              after: "check",
              check: ({ key }) => (world.standing.has(key) ? key : undefined),
              undo: ({ key }) => world.undo(key),
            },
          ),
        (branch) =>
          branch.sleep("wrap", 700).step("pack", ({ key }) => world.effect(key), {
            after: "retry",
            undo: ({ key }) => world.undo(key),
          }),
      )
      .waitFor("go", "custom.go", {
        where: ({ input }) => ({ "payload.kind": input }),
        timeoutMs: 20_000,
      })
      .step(
        "ship",
        ({ input, key }) => {
          if (input === "refused" || input === "cancelled") throw new TerminalError("no way");
          return world.effect(key);
        },
        { pivot: true },
      )
      .returns(({ results }) => (results.go === undefined ? "on time" : "told to")),
  );

async function work(team: Cadre, world: World): Promise<void> {
  const Order = orderOn(world);
  const handles = [];
  for (const [index, kind] of kinds.entries()) {
    handles.push(await team.sagas.start(Order, kind, { key: `${kind}-${index}` }));
  }
  await team.bus.publish("custom.go", { kind: "signalled" });
  await handles[3]!.cancel("not wanted");
  for (const [index, handle] of handles.entries()) {
    const end = await handle.result().catch((error: Error) => error.message);
    const kind = kinds[index]!;
    if (kind === "fine") assert.equal(end, "on time");
    else if (kind === "signalled") assert.match(end, /told to|on time/);
    else assert.match(end, /declines|no way|not wanted/);
  }
}

async function wholeOrNothing(store: EventStore, world: World): Promise<readonly string[]> {
  const wrong: string[] = [];
  const ends = new Map<string, string>();
  for await (const { event, stream } of store.read({ streamPrefix: "task/" })) {
    if (/^task\.(completed|failed|cancelled)$/.test(event.type)) {
      ends.set((stream ?? "").slice("task/".length), event.type);
    }
  }
  for (const [index, kind] of kinds.entries()) {
    const id = `order:${kind}-${index}`;
    const stands = [...world.standing.keys()].filter((key) => key.startsWith(`${id}/`)).length;
    const end = ends.get(id);
    const expected = end === "task.completed" ? 4 : 0;
    if (end === undefined) wrong.push(`${id} has not ended`);
    if (stands !== expected) wrong.push(`${id} is ${end} and ${stands} of its effects stand`);
  }
  return wrong;
}

const scenario: Scenario<World> = {
  world: () => new World(),
  agents: (_process, world) => [defineAgent({ name: "shop", capacity: 3 }).does(orderOn(world))],
  work,
  invariants: [wholeOrNothing],
};

test("every saga ends completed or wholly compensated, whatever goes wrong", async (t) => {
  const sum = await simulateSeeds({ ...scenario, faults: everyFault, seeds });
  t.diagnostic(JSON.stringify({ runs: sum.runs, crashes: sum.crashes, virtualMs: sum.virtualMs }));
  assert.equal(sum.runs, isAlone ? 1 : seeds);
  assert.ok(sum.crashes > 0, "something must have gone wrong");
});
