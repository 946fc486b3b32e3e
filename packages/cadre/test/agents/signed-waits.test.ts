/** What a handler waits for, in a team where all must sign. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import {
  createEvent,
  createIdentity,
  defineEvents,
  memory,
  memoryStore,
  SeededRandom,
  signEvent,
  systemClock as clock,
  type,
  type AgentEvent,
  type Identity,
} from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";

const keyOf = (n: number): Identity => createIdentity({ seed: new Uint8Array(32).fill(n) });
const identity = keyOf(1);
const orders = keyOf(2);
const forger = keyOf(3);

const Wait = defineTask({ name: "wait", input: type<object>(), output: type<number>() });
const clerk = defineAgent({ name: "clerk" }).does(Wait, async (_input, ctx) => {
  const event = await ctx.waitFor("order.go", { timeoutMs: 20_000 });
  const { n = 0, amount = n } = (event?.payload ?? {}) as { n?: number; amount?: number };
  return amount;
});

const events = defineEvents({
  "order.go": {
    ...type<{ amount: number }>(),
    version: "2.0.0",
    upcast: { "1.0.0": ({ n }: { n: number }) => ({ amount: n }) },
  },
});

const random = new SeededRandom(1);

function order(n: number, key: Identity): AgentEvent {
  return signEvent(createEvent({ clock, random, source: "orders" }, "order.go", { n }), key);
}

function url(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "cadre-signed-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return `sqlite:${join(folder, "team.db")}`;
}

test("what was signed in good time is heard after its key has expired, and nothing later", async (context) => {
  const store = url(context);
  const first = await startCadre({
    store,
    identity,
    signatures: { trusted: { orders: orders.did } },
    events,
  });
  const task = await first.tasks.create(Wait, {});
  await first.store.commit({ outbox: [order(1, forger), order(2, orders)] });
  const notAfter = clock.now();
  await first.close();
  await clock.sleep(5);
  const signatures = { trusted: { orders: { did: orders.did, notAfter } } };
  const second = await startCadre({ store, identity, signatures, events });
  await second.store.commit({ outbox: [order(3, orders)] });
  await second.close();
  const third = await startCadre({ store, identity, signatures, events, agents: [clerk] });
  context.after(() => third.close({ deadlineMs: 100 }));
  let state = await third.tasks.get(task.id);
  for (let tries = 0; tries < 2_000 && state?.status !== "completed"; tries += 1) {
    await clock.sleep(10);
    state = await third.tasks.get(task.id);
  }
  assert.equal(state?.result, 2);
});

for (const bus of ["one log", "two systems"] as const) {
  test(`an event of an older version is heard by who waits for it (${bus})`, async (context) => {
    const transport = memory();
    const cadre = await startCadre({
      ...(bus === "one log" ? { store: url(context) } : { store: memoryStore(), bus: transport }),
      identity,
      signatures: { trusted: { orders: orders.did } },
      events,
      agents: [clerk],
    });
    context.after(() => cadre.close({ deadlineMs: 100 }));
    const task = await cadre.tasks.create(Wait, {});
    await clock.sleep(100);
    const said = [order(4, forger), order(5, orders)];
    if (bus === "one log") await cadre.store.commit({ outbox: said });
    else await transport.publish(said.map((event) => ({ event })));
    assert.equal(await task.result({ timeoutMs: 20_000 }), 5);
  });
}
