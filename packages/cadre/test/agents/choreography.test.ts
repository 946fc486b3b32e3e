/** Flows that nobody conducts: one causal trace, and a word when one is stuck. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type AgentEvent, type EventStore } from "cadre";
import { defineAgent, defineExpectation, type AnyAgent } from "cadre/agents";
import { testTeam, type TestTeam } from "cadre/testing";
import { changed } from "../changed.ts";

const expectations = [
  defineExpectation({
    name: "payment",
    after: "custom.order.placed",
    next: ["custom.payment.*", "custom.order.withdrawn"],
    withinMs: 10_000,
  }),
];

/** Takes the payment, but for the order "stuck". */
const bank = (): AnyAgent =>
  defineAgent({ name: "bank" }).on("custom.order.placed", async (event, ctx) => {
    const { order } = event.payload as { order: string };
    await ctx.publish("custom.stock.reserved", { order });
    if (order !== "stuck") await ctx.publish("custom.payment.charged", { order });
  });

async function said(bench: TestTeam): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const { event } of bench.store.read({ type: "flow.*" })) events.push(event);
  return events;
}

test("all that follows from an event has its correlation, and its cause", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [bank()] });
  const first = await team.bus.publish("custom.order.placed", { order: "a" });
  await bench.clock.advance(1_000);
  const types: string[] = [];
  for await (const event of team.bus.history({ correlationId: first.id })) types.push(event.type);
  assert.deepEqual(types, [
    "custom.order.placed",
    "custom.stock.reserved",
    "custom.payment.charged",
  ]);
  await bench.close();
});

test("a flow in which nothing comes is stuck, and says what it waits for; a late event resumes it", async () => {
  const bench = testTeam();
  const sql = { store: bench.store };
  const team = await bench.start({ agents: [bank()], expectations, ...sql });
  const raised: string[] = [];
  team.bus.onError(({ message }) => raised.push(message));
  const good = await append(bench, "custom.order.placed", { order: "a" });
  await append(bench, "custom.payment.charged", { order: "a" }, good);
  const bad = await append(bench, "custom.order.placed", { order: "stuck" });
  await append(bench, "custom.stock.reserved", { order: "stuck" }, bad);
  await bench.clock.advance(9_000);
  assert.deepEqual(await said(bench), []);
  await bench.clock.advance(2_000);
  const [stuck, ...more] = await said(bench);
  assert.deepEqual(more, []);
  const payload = stuck?.payload as Record<string, unknown>;
  assert.equal(stuck?.type, "flow.stuck");
  assert.equal(payload["flow"], bad.id);
  assert.equal(payload["lastType"], "custom.stock.reserved");
  assert.equal(stuck?.metadata.correlationId, bad.id);
  assert.match(raised.join(), /is stuck: after custom\.order\.placed, custom\.payment\.\* \|/);
  const late = await append(bench, "custom.payment.charged", { order: "stuck" }, bad);
  await bench.clock.advance(1_000);
  const last = (await said(bench)).at(-1);
  assert.equal(last?.type, "flow.resumed");
  assert.deepEqual(last?.payload, { ...(last?.payload as object), met: late.id });
  await bench.close();
});

/** As a bus that is the store's own log does. */
async function append(
  bench: TestTeam,
  type: string,
  payload: Readonly<Record<string, unknown>>,
  cause?: AgentEvent,
): Promise<AgentEvent> {
  const id = `${type}-${String(payload["order"])}-${bench.clock.now()}`;
  const event: AgentEvent = {
    id,
    type,
    source: "test",
    timestamp: bench.clock.now(),
    payload,
    metadata: { version: "1.0.0", correlationId: cause?.metadata.correlationId ?? id },
  };
  await bench.store.commit({ outbox: [event] });
  return event;
}

test("several processes, and those that start again, say it once", async () => {
  const bench = testTeam();
  const first = await bench.start({ expectations });
  await bench.start({ expectations });
  const bad = await append(bench, "custom.order.placed", { order: "stuck" });
  await bench.clock.advance(5_000);
  await bench.until(first.close());
  await bench.start({ expectations });
  await bench.clock.advance(20_000);
  await bench.start({ expectations });
  await bench.clock.advance(20_000);
  const events = await said(bench);
  assert.equal(events.length, 1);
  assert.equal(events[0]?.metadata.correlationId, bad.id);
  await bench.close();
});

test("what was placed while no process ran is expected all the same", async () => {
  const bench = testTeam();
  const first = await bench.start({ expectations });
  await bench.clock.advance(1_000);
  await bench.until(first.close());
  await append(bench, "custom.order.placed", { order: "stuck" });
  await bench.clock.advance(60_000);
  await bench.start({ expectations });
  await bench.clock.advance(1_000);
  assert.equal((await said(bench)).length, 1);
  await bench.close();
});

test("a flow that was said to be stuck is resumed, though who said it has died", async () => {
  const bench = testTeam();
  let isDead = false;
  const commit: EventStore["commit"] = async (work) => {
    if (isDead) return new Promise<never>(() => {});
    const result = await bench.store.commit(work);
    isDead = work.appends?.some(({ stream }) => stream.startsWith("flow/")) ?? false;
    return result;
  };
  const store = changed(bench.store, { commit });
  await bench.start({ name: "mortal", expectations, store });
  const placed = await append(bench, "custom.order.placed", { order: "stuck" });
  await bench.clock.advance(11_000);
  assert.ok(isDead, "before it kept what it has said");
  await append(bench, "custom.payment.charged", { order: "stuck" }, placed);
  await bench.start({ name: "next", expectations });
  await bench.clock.advance(1_000);
  const types = (await said(bench)).map(({ type }) => type);
  assert.deepEqual(types, ["flow.stuck", "flow.resumed"]);
});

test("an expectation without a pattern or a time is refused", () => {
  for (const options of [
    { after: "", next: "x", withinMs: 1 },
    { after: "x", next: [], withinMs: 1 },
    { after: "x", next: "y", withinMs: 0 },
    { after: "x", next: "y..z", withinMs: 1 },
  ]) {
    assert.throws(
      () => defineExpectation(options),
      (error: unknown) =>
        isCadreError(error, "INVALID_OPTION") || isCadreError(error, "INVALID_PATTERN"),
    );
  }
});
