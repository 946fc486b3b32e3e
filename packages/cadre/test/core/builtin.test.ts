import assert from "node:assert/strict";
import { test } from "node:test";

import {
  builtinEvents,
  fromLegacyName,
  fromLegacyPattern,
  isCadreError,
  isTopic,
  legacyNames,
  toLegacyName,
  typeOfWireName,
  wireNameOf,
} from "cadre";

import { examplePayloads } from "./example-payloads.ts";

const all = builtinEvents.list();

/** A type of the family, for a family; the type itself otherwise. */
const oneOf = (type: string): string => type.replaceAll("*", "reader").replaceAll("#", "thing");

/** What the older systems and the design name; more may exist. */
const promised = [
  "task: created assigned acknowledged started progress completed failed retry cancelled",
  "task: offered claimed lease_expired result_rejected received assigned.*",
  "feature: created started completed blocked",
  "agent: created initialized online started paused stopped offline heartbeat updated error query",
  "agent: backpressure suspected_failure recovered message capability.execution.* *.query",
  "status: updated",
  "tool: invoked",
  "validation: requested responded",
  "action: proposed approved vetoed expired",
  "score: updated",
  "violation: detected",
  "document: processed",
  "embedding: generated",
  "memory: created entity.extracted",
  "circuit_breaker: opened half_opened closed",
  "saga: started completed failed",
  "schedule: created moved cancelled fired missed",
  "step: intent receipt undo_intent undo_receipt timer signal",
  "system: started stopped shutdown health_check tick metrics_summary",
  "custom: #",
].flatMap((line) => {
  const [family, names] = line.split(": ");
  return names!.split(" ").map((name) => `${family}.${name}`);
});

test("the built-in registry has every promised type", () => {
  const types = new Set(all.map(({ type }) => type));
  assert.deepEqual(
    [...promised, "error"].filter((type) => !types.has(type)),
    [],
  );
  assert.ok([...types].some((type) => type.startsWith("knowledge_graph.")));
  assert.ok([...types].some((type) => type.startsWith("evolution.")));
  assert.ok(builtinEvents.closed);
});

test("each built-in type has a version, one line of meaning and an object schema", () => {
  for (const { type, version, description, schema } of all) {
    assert.equal(version, "1.0.0", type);
    assert.match(description ?? "", /^[A-Z].{8,90}\.$/, type);
    assert.equal((schema as { type?: string }).type, "object", type);
    assert.ok(isTopic(oneOf(type)), type);
  }
});

test("each built-in schema accepts its example, with and without further members", () => {
  assert.deepEqual(
    Object.keys(examplePayloads).toSorted((a, b) => (a < b ? -1 : 1)),
    all.map(({ type }) => type).toSorted((a, b) => (a < b ? -1 : 1)),
  );
  for (const [type, payload] of Object.entries(examplePayloads)) {
    assert.equal(builtinEvents.validate(oneOf(type), payload), payload);
    builtinEvents.validate(oneOf(type), { ...payload, "from a newer version": [1] });
  }
});

test("each built-in schema refuses a payload that is no object, or lacks what it requires", () => {
  for (const { type, schema } of all) {
    const { required = [] } = schema as { required?: readonly string[] };
    const broken: unknown[] = [null, "text", [1]];
    for (const name of required) {
      const { [name]: _left, ...rest } = examplePayloads[type]!;
      broken.push(rest, { ...rest, [name]: { not: "this" } });
    }
    // What may hold any JSON cannot be wrong.
    const anything = type === "memory.searched" || type === "system.metrics_summary";
    for (const payload of anything ? broken.slice(0, 4) : broken) {
      assert.throws(
        () => builtinEvents.validate(oneOf(type), payload),
        (error) => isCadreError(error, "INVALID_PAYLOAD"),
        `${type} accepts ${JSON.stringify(payload)}`,
      );
    }
  }
});

test("each member of each example is known to its schema", () => {
  for (const { type, schema } of all) {
    if (type === "custom.#") continue;
    const known = Object.keys((schema as { properties: object }).properties);
    for (const name of Object.keys(examplePayloads[type]!)) {
      assert.ok(known.includes(name), `${type}: ${name}`);
    }
  }
});

test("every built-in type has one older name and comes back from it", () => {
  for (const { type } of all) {
    const name = toLegacyName(oneOf(type));
    assert.match(name ?? "", /^[A-Z]+(?:_[A-Z]+)*$/, type);
    const back = fromLegacyName(name!);
    assert.ok(back !== undefined && isTopic(back), type);
    assert.ok(builtinEvents.find(back), `${name} reads as ${back}, which is not in the registry`);
    if (!/[*#]/.test(type)) assert.equal(back, type);
  }
  const names = Object.values(legacyNames);
  assert.equal(new Set(names).size, names.length);
  for (const type of Object.keys(legacyNames)) assert.ok(builtinEvents.find(oneOf(type)), type);
});

test("a family's types share the family's older name", () => {
  assert.equal(toLegacyName("task.assigned.reader"), "TASK_ASSIGNED");
  assert.equal(toLegacyName("agent.search.query"), "AGENT_QUERY");
  assert.equal(toLegacyName("custom.a.b"), "CUSTOM");
});

test("an unknown name, or one of an object's own members, has no counterpart", () => {
  for (const name of ["", "NOPE", "task.created", "constructor", "__proto__"]) {
    assert.equal(fromLegacyName(name), undefined);
  }
  for (const type of ["", "nope.nope", "TASK_CREATED", "constructor", "toString"]) {
    assert.equal(toLegacyName(type), undefined);
  }
});

test("each older name is the type that the table says, and each type goes out under its name", () => {
  for (const [type, name] of Object.entries(legacyNames)) {
    if (/[*#]/.test(type)) continue;
    assert.equal(typeOfWireName(name), type);
    assert.equal(wireNameOf(type), name);
  }
});

test("a name that the table does not have is a custom event's, both ways", () => {
  assert.equal(typeOfWireName("INVOICE_PAID"), "custom.invoice_paid");
  assert.equal(wireNameOf("custom.invoice_paid"), "INVOICE_PAID");
  assert.equal(typeOfWireName("invoice.paid"), "invoice.paid");
  assert.equal(typeOfWireName("task_created"), "task.created");
  assert.equal(typeOfWireName("heartbeat"), "heartbeat");
  assert.equal(wireNameOf("orders.order.placed"), "ORDERS_ORDER_PLACED");
});

test("no type goes out under the name of another one of the table", () => {
  for (const type of [
    "custom.task_created",
    "task_created",
    "health.check",
    "custom.a.b",
    "日本",
  ]) {
    assert.equal(wireNameOf(type), "CUSTOM", type);
  }
});

test("a pattern of the older systems matches what it matched there", () => {
  for (const [theirs, ours] of [
    ["*", "#"],
    ["memory.*", "memory.#"],
    ["memory.entity.extracted", "memory.entity.extracted"],
    ["TASK_CREATED", "task.created"],
  ] as const) {
    assert.equal(fromLegacyPattern(theirs), ours);
  }
});
