import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import {
  SeededRandom,
  VirtualClock,
  createBus,
  createEvent,
  defineEvents,
  isCadreError,
  memory,
  type AgentEvent,
  type EventDefinitions,
  type JsonSchema,
} from "cadre";

const context = { clock: new VirtualClock(), random: new SeededRandom(1), source: "test" };
const event = (payload: unknown, version: string): AgentEvent =>
  createEvent(context, "order.placed", payload, { version });

const first = { type: "object", properties: { id: { type: "string" } }, required: ["id"] };
const withNote = { ...first, properties: { ...first.properties, note: { type: "string" } } };
const withAmount = {
  ...first,
  properties: { ...first.properties, amount: { type: "number" } },
  required: ["id", "amount"],
};

function refusal(definitions: EventDefinitions, compatibility?: "full" | "backward"): string {
  let message = "";
  assert.throws(
    () => defineEvents(definitions, compatibility ? { compatibility } : {}),
    (error) => {
      assert.ok(isCadreError(error, "INCOMPATIBLE_SCHEMA"));
      assert.ok(error.details.findings.length > 0);
      message = error.message;
      return true;
    },
  );
  return message;
}

test("a compatible earlier version is read as it is, without an upcaster", () => {
  const events = defineEvents({
    "order.placed": { schema: withNote, version: "1.1.0", earlier: { "1.0": first } },
  });
  assert.deepEqual(events.find("order.placed")?.readable, ["1.0.0", "1.1.0"]);
  assert.deepEqual(events.find("order.placed")?.upcasts, []);
  const read = events.upcast(event({ id: "o-1" }, "1.0.0"));
  assert.deepEqual([read.payload, read.metadata.version], [{ id: "o-1" }, "1.1.0"]);
});

test("a version that breaks with an earlier one is refused, with kind and path", () => {
  const broken = { schema: withAmount, version: "2.0.0", earlier: { "1.0.0": first } };
  assert.match(refusal({ "order.placed": broken }), /\$\.amount required-added/);
  const events = defineEvents({
    "order.placed": {
      ...broken,
      upcast: { "1.0.0": (old: { id: string }) => ({ ...old, amount: 0 }) },
    },
  });
  assert.deepEqual(events.upcast(event({ id: "o" }, "1.0.0")).payload, { id: "o", amount: 0 });
  const none = defineEvents({ "order.placed": { ...broken, compatibility: "none" } });
  assert.deepEqual(none.find("order.placed")?.readable, ["2.0.0"]);
});

test("forward compatibility is asked of the new version, upcaster or not", () => {
  const lost = {
    schema: first,
    version: "1.1.0",
    earlier: { "1.0.0": withAmount },
    upcast: { "1.0.0": (old: object) => old },
  };
  defineEvents({ "order.placed": lost });
  const message = refusal({ "order.placed": lost }, "full");
  assert.match(message, /forward: \$\.amount property-removed/);
});

test("what cannot be decided is refused too, until somebody decides", () => {
  const pattern = (text: string): JsonSchema => ({
    type: "object",
    properties: { id: { type: "string", pattern: text } },
  });
  const changed = { schema: pattern("^b"), version: "1.1.0", earlier: { "1.0.0": pattern("^a") } };
  assert.match(refusal({ "order.placed": changed }), /undecided: \$\.id pattern-changed/);
  const bare = { version: "1.1.0", earlier: { "1.0.0": first } };
  assert.match(refusal({ "order.placed": bare }), /no-schema/);
});

test("a type that promises it reads later versions of its major number as they are", () => {
  const events = defineEvents({
    "order.placed": { schema: first, version: "1.0.0", compatibility: "forward" },
  });
  const newer = event({ id: "o", note: "hello" }, "1.4.0");
  assert.equal(events.upcast(newer), newer);
  assert.deepEqual(events.validate("order.placed", newer.payload, "1.4.0"), newer.payload);
  assert.throws(
    () => events.validate("order.placed", { note: "no id" }, "1.4.0"),
    (error) => isCadreError(error, "INVALID_PAYLOAD"),
  );
  for (const version of ["2.0.0", "0.9.0"]) {
    assert.throws(
      () => events.upcast(event({ id: "o" }, version)),
      (error) => isCadreError(error, "UNKNOWN_VERSION"),
    );
  }
  const backward = defineEvents({ "order.placed": { schema: first } });
  assert.throws(
    () => backward.upcast(newer),
    (error) => isCadreError(error, "UNKNOWN_VERSION"),
  );
});

test("a validator that gives JSON Schema is compared like any other", () => {
  const old = z.object({ id: z.string() });
  const events = defineEvents({
    "order.placed": {
      schema: z.object({ id: z.string(), note: z.string().optional() }),
      version: "1.1.0",
      earlier: { "1.0.0": old },
      compatibility: "full",
    },
  });
  assert.deepEqual(events.find("order.placed")?.readable, ["1.0.0", "1.1.0"]);
  const broken = {
    schema: z.object({ id: z.number() }),
    version: "2.0.0",
    earlier: { "1.0.0": old },
  };
  assert.match(refusal({ "order.placed": broken }), /\$\.id type-changed/);
});

test("an earlier version that is not earlier, or a mode that is none, is refused", () => {
  for (const definition of [
    { schema: first, version: "1.0.0", earlier: { "1.0.0": first } },
    { schema: first, version: "1.0.0", earlier: { "1.x": first } },
    { schema: first, version: "1.0.0", compatibility: "sideways" },
  ]) {
    assert.throws(
      () => defineEvents({ "order.placed": definition as never }),
      (error) => isCadreError(error, "INVALID_OPTION"),
    );
  }
});

test("history, replay and handlers of a bus see old payloads in their current version", async () => {
  const transport = memory();
  const before = createBus({ transport, events: defineEvents({ "order.placed": first }) });
  await before.publish("order.placed", { id: "o-1" });
  const events = defineEvents({
    "order.placed": {
      schema: withAmount,
      version: "2.0.0",
      upcast: { "1.0.0": (old: { id: string }) => ({ ...old, amount: 7 }) },
    },
  });
  const bus = createBus({ transport, events });
  const expected = { id: "o-1", amount: 7 };
  for await (const past of bus.history({ type: "order.#" }))
    assert.deepEqual(past.payload, expected);
  const replayed: unknown[] = [];
  await bus.replay({ type: "order.#" }, { to: ({ payload }) => void replayed.push(payload) });
  assert.deepEqual(replayed, [expected]);
  const handled = new Promise((resolve) => {
    void bus.subscribe("order.placed", { group: "g", from: "earliest" }, ({ payload }) =>
      resolve(payload),
    );
  });
  assert.deepEqual(await handled, expected);
  await bus.close();
});
