import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { isCadreError, TerminalError, type } from "cadre";
import { defineAgent, defineSaga, sagaId, startCadre } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { withTempFolder } from "../servers/temporary.ts";

interface Order {
  readonly id: string;
  readonly amount: number;
}

/** What the sagas here do to the world, in order. */
const journal = () => {
  const did: string[] = [];
  return { did, note: <Value>(text: string, value: Value): Value => (did.push(text), value) };
};

test("each step sees the results of the earlier ones by name, and so do the undos", async () => {
  const bench = testTeam();
  const { did, note } = journal();
  const Saga = defineSaga({ name: "order", input: type<Order>() }, (saga) =>
    saga
      .step("reserve", ({ input }) => note("reserve", { shelf: `${input.id}-shelf` }), {
        undo: ({ result, input }) => note(`release ${result?.shelf} of ${input.id}`, null),
      })
      .step(
        "charge",
        ({ input, results }) => note("charge", `${results.reserve.shelf}/${input.amount}`),
        {
          undo: ({ results, result }) => note(`refund ${result} ${results.reserve.shelf}`, null),
        },
      )
      .step("ship", ({ results, input }) => {
        if (input.amount > 100) throw new TerminalError(`too dear: ${results.charge}`);
        return note("ship", results.charge.length);
      })
      .returns(({ results }) => results.ship),
  );
  const team = await bench.start({ agents: [defineAgent({ name: "shop" }).does(Saga)] });
  const good = await team.sagas.start(Saga, { id: "o1", amount: 5 }, { key: "o1" });
  assert.equal(await bench.until(good.result()), 10);
  assert.deepEqual(did.splice(0), ["reserve", "charge", "ship"]);
  const bad = await team.sagas.start(Saga, { id: "o2", amount: 500 }, { key: "o2" });
  await assert.rejects(bench.until(bad.result()), /too dear: o2-shelf\/500/);
  assert.deepEqual(did, [
    "reserve",
    "charge",
    "refund o2-shelf/500 o2-shelf",
    "release o2-shelf of o2",
  ]);
  assert.equal((await team.sagas.get(good.id))?.phase, "completed");
  assert.equal((await team.sagas.get(bad.id))?.phase, "undone");
  const types: string[] = [];
  for await (const { event } of bench.store.read({ stream: `task/${bad.id}`, type: "saga.#" }))
    types.push(event.type);
  assert.deepEqual(types, ["saga.started", "saga.failed", "saga.undo_started", "saga.undone"]);
  await bench.close();
});

test("branches run side by side, and what one has done is undone when another fails", async () => {
  const bench = testTeam();
  const { did, note } = journal();
  const Saga = defineSaga({ name: "both", input: type<boolean>() }, (saga) =>
    saga
      .parallel(
        (branch) =>
          branch
            .step("left", () => bench.clock.sleep(1_000).then(() => note("left", 1)), {
              undo: () => note("undo left", null),
            })
            .step("left2", ({ results }) => note("left2", results.left + 1), {
              undo: () => note("undo left2", null),
            }),
        (branch) =>
          branch.step("right", ({ input }) => {
            if (!input) throw new TerminalError("no right");
            return bench.clock.sleep(1_500).then(() => note("right", "r"));
          }),
      )
      .returns(({ results }) => `${results.left}${results.left2}${results.right}`),
  );
  const team = await bench.start({ agents: [defineAgent({ name: "shop" }).does(Saga)] });
  const startedAt = bench.clock.monotonic();
  const good = await team.sagas.start(Saga, true, { key: "1" });
  assert.equal(await bench.until(good.result()), "12r");
  assert.ok(bench.clock.monotonic() - startedAt < 2_400, "not one after the other");
  did.length = 0;
  const bad = await team.sagas.start(Saga, false, { key: "2" });
  await assert.rejects(bench.until(bad.result()), /no right/);
  assert.deepEqual(did, ["left", "undo left"]);
  await bench.close();
});

test("a saga within a saga is undone with it, and its names are its own", async () => {
  const bench = testTeam();
  const { did, note } = journal();
  const Inner = defineSaga({ name: "inner", input: type<number>() }, (saga) =>
    saga
      .step("one", ({ input }) => note(`inner one ${input}`, input + 1), {
        undo: ({ result }) => note(`undo inner one ${result}`, null),
      })
      .returns(({ results }) => results.one * 10),
  );
  const Outer = defineSaga({ name: "outer", input: type<boolean>() }, (saga) =>
    saga
      .step("one", () => note("one", 1), { undo: () => note("undo one", null) })
      .saga("inner", Inner, ({ results }) => results.one)
      .saga("again", Inner, ({ results }) => results.inner)
      .step("last", ({ input, results }) => {
        if (!input) throw new TerminalError("no");
        return results.again;
      }),
  );
  const team = await bench.start({ agents: [defineAgent({ name: "shop" }).does(Outer)] });
  const good = await team.sagas.start(Outer, true, { key: "1" });
  assert.deepEqual(await bench.until(good.result()), { one: 1, inner: 20, again: 210, last: 210 });
  did.length = 0;
  const bad = await team.sagas.start(Outer, false, { key: "2" });
  await assert.rejects(bench.until(bad.result()), /no/);
  assert.deepEqual(did, [
    "one",
    "inner one 1",
    "inner one 20",
    "undo inner one 21",
    "undo inner one 2",
    "undo one",
  ]);
  await bench.close();
});

const Paid = defineSaga(
  {
    name: "paid",
    input: type<Order>(),
    starts: [
      {
        pattern: "custom.order.placed",
        key: (event) => (event.payload as Partial<Order>).id,
        input: (event) => event.payload as Order,
      },
    ],
    expects: [
      { pattern: "custom.order.paid", key: (event) => (event.payload as { id?: string }).id },
    ],
  },
  (saga) =>
    saga
      .waitFor("payment", "custom.order.paid", {
        where: ({ input }) => ({ "payload.id": input.id }),
        timeoutMs: 60_000,
      })
      .step("ship", ({ results }) => (results.payment ? "shipped" : "not paid"))
      .returns(({ results }) => results.ship),
);
const payee = defineAgent({ name: "payee", capacity: 1 }).does(Paid);

test("a saga waits for its own event, and gives its slot back meanwhile", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [payee] });
  const handles = [];
  for (const id of ["a", "b", "c"])
    handles.push(await team.sagas.start(Paid, { id, amount: 1 }, { key: id }));
  await bench.clock.advance(5_000);
  assert.equal((await handles[2]!.state()).status, "running", "three wait with one slot");
  await team.bus.publish("custom.order.paid", { id: "b" });
  assert.equal(await bench.until(handles[1]!.result()), "shipped");
  assert.equal((await handles[0]!.state()).status, "running");
  await team.bus.publish("custom.order.paid", { id: "a" });
  assert.equal(await bench.until(handles[0]!.result()), "shipped");
  assert.equal(await bench.until(handles[2]!.result()), "not paid", "its time was up");
  // What comes late finds an end, and changes nothing.
  await team.bus.publish("custom.order.paid", { id: "c" });
  await bench.clock.advance(5_000);
  assert.equal((await handles[2]!.state()).result, "not paid");
  await bench.close();
});

test("a signal that came before the wait, or while nobody ran, is not lost", async () => {
  const bench = testTeam();
  const first = await bench.start({ agents: [payee] });
  const handle = await first.sagas.start(Paid, { id: "a", amount: 1 }, { key: "a" });
  await bench.clock.advance(20_000);
  await bench.until(first.close({ deadlineMs: 0 }));
  const outside = await bench.start({ name: "outside" });
  await outside.bus.publish("custom.order.paid", { id: "a" });
  await bench.clock.advance(30_000);
  const second = await bench.start({ agents: [payee] });
  await bench.clock.advance(20_000);
  assert.equal((await second.tasks.get(handle.id))?.result, "shipped");
  await bench.close();
});

test("two starts with one key are one instance, by hand and by event", async () => {
  const bench = testTeam();
  const one = await bench.start({ agents: [payee], name: "one" });
  const two = await bench.start({ agents: [payee], name: "two" });
  await Promise.all([
    one.bus.publish("custom.order.placed", { id: "a", amount: 1 }),
    two.bus.publish("custom.order.placed", { id: "a", amount: 2 }),
    one.sagas.start(Paid, { id: "a", amount: 3 }, { key: "a" }),
    two.sagas.start(Paid, { id: "a", amount: 4 }, { key: "a" }),
  ]);
  await bench.clock.advance(5_000);
  const sagas = await one.sagas.list({ name: "paid" });
  assert.deepEqual(
    sagas.map(({ id }) => id),
    [sagaId(Paid, "a")],
  );
  let started = 0;
  for await (const _ of bench.store.read({ type: "saga.started" })) started += 1;
  assert.equal(started, 1);
  await bench.close();
});

test("an event of an instance that was never there becomes a dead letter", async () => {
  const bench = testTeam();
  const team = await bench.start({ agents: [payee] });
  const errors: string[] = [];
  team.bus.onError(({ message }) => void errors.push(message));
  await team.bus.publish("custom.order.paid", { id: "nobody" });
  await team.bus.publish("custom.order.placed", { amount: 3 });
  await bench.clock.advance(120_000);
  assert.match(errors.join("\n"), /is for saga paid:nobody, which is not there/);
  assert.match(errors.join("\n"), /has no key for saga paid/);
  await bench.close();
});

test("two waits for one pattern take two events", async () => {
  const bench = testTeam();
  const Twice = defineSaga({ name: "twice", input: type<null>() }, (saga) =>
    saga
      .waitFor("first", "custom.ping")
      .waitFor("second", "custom.ping")
      .returns(({ results }) => [results.first?.payload, results.second?.payload]),
  );
  const team = await bench.start({ agents: [defineAgent({ name: "ear" }).does(Twice)] });
  const handle = await team.sagas.start(Twice, null, { key: "1" });
  await bench.clock.advance(1_000);
  await team.bus.publish("custom.ping", { n: 1 });
  await bench.clock.advance(1_000);
  assert.equal((await handle.state()).status, "running");
  await team.bus.publish("custom.ping", { n: 2 });
  assert.deepEqual(await bench.until(handle.result()), [{ n: 1 }, { n: 2 }]);
  await bench.close();
});

test("a saga with two steps of one name, or a bad pattern, is refused where it is declared", () => {
  assert.throws(
    () =>
      defineSaga({ name: "x", input: type<null>() }, (saga) =>
        saga.step("same", () => 1).parallel((branch) => branch.step("same", () => 2)),
      ),
    (error: unknown) => isCadreError(error, "INVALID_OPTION"),
  );
  assert.throws(
    () =>
      defineSaga({ name: "x", input: type<null>() }, (saga) =>
        saga.parallel(
          (branch) => branch.step("same", () => 1),
          (branch) => branch.step("same", () => 2),
        ),
      ),
    (error: unknown) => isCadreError(error, "INVALID_OPTION"),
  );
  assert.throws(
    () => defineSaga({ name: "x", input: type<null>() }, (saga) => saga.waitFor("bad", "a..b")),
    (error: unknown) => isCadreError(error, "INVALID_PATTERN"),
  );
});

test("on one log a signal is found by position: before the wait, and while nobody ran", async () => {
  await withTempFolder(async (folder) => {
    const store = `sqlite:${join(folder, "team.db")}`;
    const options = { store, heartbeatMs: 100, leaseMs: 1_000 };
    const first = await startCadre({ ...options, agents: [payee] });
    const one = await first.sagas.start(Paid, { id: "a", amount: 1 }, { key: "a" });
    const two = await first.sagas.start(Paid, { id: "b", amount: 1 }, { key: "b" });
    await first.bus.publish("custom.order.paid", { id: "b" });
    assert.equal(await two.result({ timeoutMs: 10_000 }), "shipped");
    await first.close({ deadlineMs: 0 });
    const outside = await startCadre({ ...options, name: "outside" });
    await outside.bus.publish("custom.order.paid", { id: "a" });
    await outside.close();
    const second = await startCadre({ ...options, agents: [payee] });
    const state = await second.sagas.start(Paid, { id: "a", amount: 1 }, { key: "a" });
    assert.equal(state.id, one.id);
    assert.equal(await state.result({ timeoutMs: 10_000 }), "shipped");
    await second.close();
  });
});

test("a saga of two steps with undos costs four commits", async () => {
  const bench = testTeam();
  const Two = defineSaga({ name: "two", input: type<number>() }, (saga) =>
    saga.step("a", () => 1, { undo: () => {} }).step("b", () => 2, { undo: () => {} }),
  );
  const team = await bench.start({ agents: [defineAgent({ name: "shop" }).does(Two)] });
  let commits = 0;
  const { commit } = bench.store;
  bench.store.commit = (work) => {
    if (work.appends?.some(({ stream }) => stream.startsWith("task/"))) commits += 1;
    return commit.call(bench.store, work);
  };
  const handle = await team.sagas.start(Two, 1, { key: "1" });
  assert.deepEqual(await bench.until(handle.result()), { a: 1, b: 2 });
  assert.equal(commits, 4, "begun and claimed; each intent with the receipt before it; the end");
  await bench.close();
});
