import assert from "node:assert/strict";
import { test } from "node:test";

import { isCadreError, type } from "cadre";
import { defineAgent, defineSaga, defineTask, sagaId, type TaskContext } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Nothing = type<null>();

test("a saga whose steps return nothing completes", async () => {
  const bench = testTeam();
  const Quiet = defineSaga({ name: "quiet", input: Nothing }, (saga) =>
    saga
      .step("nothing", () => undefined)
      .waitFor("late", "custom.never", { timeoutMs: 100 })
      .step("null", () => null),
  );
  const team = await bench.start({ agents: [defineAgent({ name: "shop" }).does(Quiet)] });
  const handle = await team.sagas.start(Quiet, null, { key: "1" });
  assert.deepEqual(await bench.until(handle.result()), { null: null });
  await bench.close();
});

test("a step may have any name, also in a branch", async () => {
  const bench = testTeam();
  const seen: unknown[] = [];
  const Odd = defineSaga({ name: "odd", input: Nothing }, (saga) =>
    saga
      .parallel(
        (branch) => branch.step("__proto__", () => ({ one: 1 })),
        (branch) => branch.step("constructor", () => 2),
      )
      .step("toString", ({ results }) => void seen.push(Object.entries(results))),
  );
  const team = await bench.start({ agents: [defineAgent({ name: "shop" }).does(Odd)] });
  const handle = await team.sagas.start(Odd, null, { key: "1" });
  await bench.until(handle.result());
  assert.deepEqual(seen, [
    [
      ["__proto__", { one: 1 }],
      ["constructor", 2],
    ],
  ]);
  await bench.close();
});

test("a step with the name of a step of a nested saga is refused where it is declared", () => {
  const Inner = defineSaga({ name: "inner", input: Nothing }, (saga) => saga.step("b", () => 1));
  const refusals = [
    () =>
      defineSaga({ name: "x", input: Nothing }, (saga) =>
        saga.step("a.b", () => 1).saga("a", Inner, () => null),
      ),
    () =>
      defineSaga({ name: "x", input: Nothing }, (saga) =>
        saga.saga("a", Inner, () => null).sleep("a.b", 1),
      ),
    () =>
      defineSaga({ name: "x", input: Nothing }, (saga) =>
        saga.parallel(
          (branch) => branch.saga("a", Inner, () => null),
          (branch) => branch.step("a.b", () => 1),
        ),
      ),
  ];
  for (const refused of refusals) {
    assert.throws(refused, (error: unknown) => isCadreError(error, "INVALID_OPTION"));
  }
});

test("the id of an instance is no id of another's child", () => {
  const saga = { name: "order" };
  assert.notEqual(sagaId(saga, "17.ship"), `${sagaId(saga, "17")}.ship`);
  assert.equal(sagaId(saga, "17"), "order:17");
});

test("an id that another kind of task has is refused", async () => {
  const bench = testTeam();
  const One = defineTask({ name: "one", input: Nothing, output: type<number>() });
  const Two = defineTask({ name: "two", input: Nothing, output: type<string>() });
  const one = defineAgent({ name: "one" }).does(One, () => 1);
  const two = defineAgent({ name: "two" }).does(Two, (_input, ctx: TaskContext) =>
    ctx.call("child", One, null, { id: "t" }).then(String),
  );
  const team = await bench.start({ agents: [one, two] });
  await team.tasks.create(One, null, { id: "t" });
  await assert.rejects(team.tasks.create(Two, null, { id: "t" }), (error: unknown) =>
    isCadreError(error, "DUPLICATE_ID"),
  );
  const handle = await team.tasks.create(Two, null, { id: "u" });
  assert.equal(await bench.until(handle.result()), "1", "the same kind is found");
  await bench.close();
});
