import assert from "node:assert/strict";
import { test } from "node:test";

import { builtinEvents, defineEvents, isCadreError, type } from "cadre";
import { combineRegistries } from "#src/core/combined-registry.ts";

test("a closed registry in front of the built-in one takes both kinds and refuses the rest", () => {
  const own = defineEvents({ "order.placed": type<{ id: number }>() });
  const both = combineRegistries(own, defineEvents({ "task.created": type<object>() }));
  assert.ok(both.closed);
  assert.deepEqual(both.validate("order.placed", { id: 1 }), { id: 1 });
  assert.deepEqual(both.validate("task.created", {}), {});
  assert.throws(
    () => both.validate("order.lost", {}),
    (error: unknown) => isCadreError(error, "UNKNOWN_TYPE"),
  );
});

test("what the first registry knows is its own to check", () => {
  const schema = { type: "object", required: ["id"] };
  const both = combineRegistries(defineEvents({ "task.created": { schema } }), builtinEvents);
  assert.throws(
    () => both.validate("task.created", { taskId: "1" }),
    (error: unknown) => isCadreError(error, "INVALID_PAYLOAD"),
  );
  assert.equal(both.list().filter(({ type: name }) => name === "task.created").length, 1);
});

test("a name that neither knows is refused with the closest one of the user's own", () => {
  const both = combineRegistries(
    defineEvents({ "order.placed": type<{ id: number }>() }),
    builtinEvents,
  );
  assert.throws(() => both.validate("order.plaecd", {}), /closest: "order\.placed"/);
});

test("a type declared by its name comes before a family that it also fits", () => {
  const family = { schema: { type: "object", required: ["mine"] } };
  const both = combineRegistries(defineEvents({ "task.#": family }), builtinEvents);
  assert.deepEqual(both.validate("task.created", { taskId: "1" }), { taskId: "1" });
  assert.throws(
    () => both.validate("task.of.mine", {}),
    (error: unknown) => isCadreError(error, "INVALID_PAYLOAD"),
  );
});
