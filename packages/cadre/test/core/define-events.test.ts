import assert from "node:assert/strict";
import { test } from "node:test";

import { type as ark } from "arktype";
import { builtinEvents, createEvent, defineEvents, isCadreError, SeededRandom, type } from "cadre";
import type { AgentEvent, ErrorCode, ErrorDetails, JsonSchema, StandardSchema } from "cadre";
import { VirtualClock } from "cadre";
import * as valibot from "valibot";
import { z } from "zod";

const context = { clock: new VirtualClock(), random: new SeededRandom(1), source: "tester" };

function event(name: string, payload: unknown, version = "1.0.0"): AgentEvent {
  return createEvent(context, name, payload, { version });
}

function refusal<Code extends ErrorCode>(code: Code, run: () => unknown): ErrorDetails[Code] {
  try {
    run();
  } catch (error) {
    assert.ok(isCadreError(error, code), `expected ${code}, got ${String(error)}`);
    return error.details;
  }
  assert.fail(`expected ${code}, nothing was thrown`);
}

const person = {
  type: "object",
  properties: { name: { type: "string" }, tags: { type: "array", items: { type: "string" } } },
  required: ["name"],
} as const;

test("a payload type without a schema takes every payload and returns it itself", () => {
  const events = defineEvents({ "a.b": type<{ n: number }>() });
  const payload = { n: 1 };
  assert.equal(events.validate("a.b", payload), payload);
});

test("a JSON Schema names every place that does not fit", () => {
  const events = defineEvents({ "person.seen": person });
  assert.deepEqual(events.validate("person.seen", { name: "Ada", more: 1 }), {
    name: "Ada",
    more: 1,
  });
  const details = refusal("INVALID_PAYLOAD", () =>
    events.validate("person.seen", { tags: ["a", 2] }),
  );
  assert.equal(details.type, "person.seen");
  assert.equal(details.version, "1.0.0");
  assert.deepEqual(details.issues, [
    { path: "name", message: "is missing" },
    { path: "tags[1]", message: "must be string" },
  ]);
});

test("a JSON Schema of draft 2020-12 is read as such", () => {
  const events = defineEvents({
    pair: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: { at: { prefixItems: [{ type: "number" }, { type: "string" }] } },
    },
  });
  events.validate("pair", { at: [1, "x"] });
  assert.equal(
    refusal("INVALID_PAYLOAD", () => events.validate("pair", { at: [1, 2] })).issues[0]?.path,
    "at[1]",
  );
});

test("a JSON Schema that is none is refused at first use, naming the type", () => {
  const events = defineEvents({ bad: { type: "objekt" } });
  assert.equal(refusal("INVALID_OPTION", () => events.validate("bad", {})).option, "bad.schema");
});

test("zod, valibot and arktype schemas check payloads, with paths", () => {
  const events = defineEvents({
    zod: z.object({ items: z.array(z.object({ id: z.string() })), size: z.number().default(3) }),
    valibot: valibot.object({ id: valibot.string() }),
    arktype: ark({ id: "string" }),
    detailed: { schema: z.object({ id: z.string() }), version: "2.0.0" },
  });
  assert.deepEqual(events.validate("zod", { items: [{ id: "x" }] }), {
    items: [{ id: "x" }],
    size: 3,
  });
  const issues = refusal("INVALID_PAYLOAD", () => events.validate("zod", { items: [{ id: 1 }] }));
  assert.equal(issues.issues[0]?.path, "items[0].id");
  for (const name of ["valibot", "arktype", "detailed"]) {
    assert.deepEqual(events.validate(name, { id: "x" }), { id: "x" });
    const details = refusal("INVALID_PAYLOAD", () => events.validate(name, { id: 1 }));
    assert.equal(details.issues[0]?.path, "id", name);
  }
  assert.equal(events.find("detailed")?.version, "2.0.0");
});

test("a schema that validates asynchronously is refused at first use", () => {
  const events = defineEvents({ slow: z.object({ id: z.string().refine(async () => false) }) });
  const schema = {
    "~standard": { version: 1, vendor: "own", validate: async () => ({ value: 1 }) },
  };
  const own = defineEvents({ slow: schema as unknown as StandardSchema });
  assert.equal(refusal("INVALID_OPTION", () => own.validate("slow", {})).option, "slow.schema");
  assert.equal(
    refusal("INVALID_OPTION", () => events.validate("slow", { id: "x" })).option,
    "slow.schema",
  );
});

test("a type outside a closed registry is refused with the closest name", () => {
  const events = defineEvents({ "task.created": type<object>(), "task.failed": type<object>() });
  const details = refusal("UNKNOWN_TYPE", () => events.validate("task.creatd", {}));
  assert.deepEqual(details, { type: "task.creatd", closest: "task.created" });
  assert.deepEqual(
    refusal("UNKNOWN_TYPE", () => events.validate("weather.rain", {})),
    {
      type: "weather.rain",
    },
  );
  assert.equal(events.find("task.creatd"), undefined);
});

test("an open registry takes unknown types with an object as payload", () => {
  const events = defineEvents({ known: person }, { closed: false });
  assert.deepEqual(events.validate("any.thing", { x: 1 }), { x: 1 });
  for (const payload of [null, "text", 3, [1]]) {
    refusal("INVALID_PAYLOAD", () => events.validate("any.thing", payload));
  }
  refusal("INVALID_PAYLOAD", () => events.validate("known", {}));
});

test("a family's pattern stands for its types, an exact key wins, then the plainer family", () => {
  const events = defineEvents({
    "order.#": { schema: person, description: "any" },
    "order.*.placed": { description: "placed" },
    "order.eu.placed": { description: "exact" },
  });
  assert.equal(events.find("order.eu.placed")?.description, "exact");
  assert.equal(events.find("order.us.placed")?.description, "placed");
  assert.equal(events.find("order.us.placed")?.type, "order.*.placed");
  assert.equal(events.find("order")?.description, "any");
  assert.equal(events.find("order.a.b.c")?.description, "any");
  assert.equal(events.find("orders"), undefined);
  refusal("INVALID_PAYLOAD", () => events.validate("order.a", {}));
  assert.deepEqual(events.validate("order.us.placed", {}), {});
});

test("a registry that extends another has its types and may replace them", () => {
  const events = defineEvents(
    { "task.created": type<{ mine: true }>(), "custom.order.placed": person, "app.*": person },
    { extends: builtinEvents },
  );
  assert.deepEqual(events.validate("task.created", {}), {});
  refusal("INVALID_PAYLOAD", () => events.validate("task.started", {}));
  refusal("INVALID_PAYLOAD", () => events.validate("custom.order.placed", {}));
  assert.deepEqual(events.validate("custom.other", {}), {});
  assert.equal(events.find("task.assigned.reader")?.type, "task.assigned.*");
  assert.equal(
    refusal("UNKNOWN_TYPE", () => events.validate("task.startd", {})).closest,
    "task.started",
  );
  const names = events.list().map((info) => info.type);
  assert.equal(new Set(names).size, names.length);
  assert.equal(names.length, builtinEvents.list().length + 2);
});

test("an exact type of the extended registry wins over an own family", () => {
  const events = defineEvents({ "task.*": type<object>() }, { extends: builtinEvents });
  refusal("INVALID_PAYLOAD", () => events.validate("task.created", {}));
  assert.deepEqual(events.validate("task.dreamt", {}), {});
});

const versioned = defineEvents({
  doc: {
    schema: { type: "object", required: ["title", "words"] },
    version: "2.0.0",
    upcast: {
      "1.0.0": (payload: { name: string }) => ({ title: payload.name }),
      "1.1": (payload: { title: string }) => ({
        ...payload,
        words: payload.title.split(" ").length,
      }),
    },
  },
});

test("an old payload climbs step by step to the current version", () => {
  const old = event("doc", { name: "a b c" });
  const now = versioned.upcast(old);
  assert.deepEqual(now.payload, { title: "a b c", words: 3 });
  assert.equal(now.metadata.version, "2.0.0");
  assert.equal(now.id, old.id);
  assert.ok(Object.isFrozen(now) && Object.isFrozen(now.payload) && Object.isFrozen(now.metadata));
  assert.deepEqual(versioned.upcast(event("doc", { title: "x y" }, "1.1.0")).payload, {
    title: "x y",
    words: 2,
  });
  assert.deepEqual(versioned.find("doc")?.readable, ["1.0.0", "1.1.0", "2.0.0"]);
});

test("an event of the current version is returned itself", () => {
  const now = event("doc", { title: "x", words: 1 }, "2.0.0");
  assert.equal(versioned.upcast(now), now);
  const short = event("doc", { title: "x", words: 1 }, "2.0");
  assert.equal(versioned.upcast(short), short);
});

test("1.0 reads as 1.0.0", () => {
  assert.deepEqual(versioned.upcast(event("doc", { name: "a" }, "1.0")).payload, {
    title: "a",
    words: 1,
  });
  const events = defineEvents({ a: { version: "1" } });
  assert.equal(events.find("a")?.version, "1.0.0");
});

test("a version that is newer, between or no version is refused", () => {
  for (const version of ["2.0.1", "10.0.0", "1.0.5", "banana"]) {
    const details = refusal("UNKNOWN_VERSION", () => versioned.upcast(event("doc", {}, version)));
    assert.deepEqual(details, { type: "doc", version });
  }
  refusal("UNKNOWN_VERSION", () => versioned.validate("doc", { name: "x" }, "1.0.0"));
  versioned.validate("doc", { title: "x", words: 1 }, "2.0");
});

test("an upcaster may name where it leads, and one that leads nowhere is refused", () => {
  const events = defineEvents({
    a: {
      version: "3.0.0",
      upcast: {
        "1.0.0": { to: "3.0.0", up: () => ({ from: 1 }) },
        "2.0.0": () => ({ from: 2 }),
      },
    },
  });
  assert.deepEqual(events.upcast(event("a", {}, "1.0.0")).payload, { from: 1 });
  assert.deepEqual(events.upcast(event("a", {}, "2.0.0")).payload, { from: 2 });
  const up = (): object => ({});
  const bad = [
    { version: "3.0.0", upcast: { "1.0.0": { to: "2.0.0", up } } },
    { version: "3.0.0", upcast: { "1.0.0": { to: "1.0.0", up } } },
    { version: "3.0.0", upcast: { "4.0.0": up } },
    { version: "3.0.0", upcast: { "3.0.0": up } },
    { version: "3.0.0", upcast: { soon: up } },
    { version: "three" },
  ];
  for (const definition of bad) {
    refusal("INVALID_OPTION", () => defineEvents({ a: definition }));
  }
});

test("an upcaster that throws names the step, and one that leaves JSON is refused", () => {
  const events = defineEvents({
    a: {
      version: "2.0.0",
      upcast: {
        "1.0.0": () => {
          throw new Error("no name");
        },
        "1.5.0": () => ({ at: new Map() }),
      },
    },
  });
  const details = refusal("INVALID_PAYLOAD", () => events.upcast(event("a", {}, "1.0.0")));
  assert.deepEqual(details.issues, [{ path: "", message: "no name" }]);
  assert.equal(refusal("NOT_JSON", () => events.upcast(event("a", {}, "1.5.0"))).path, "at");
});

test("a misspelt member of a definition is refused with the right name", () => {
  const message = (definition: object): string => {
    try {
      defineEvents({ a: definition as JsonSchema });
    } catch (error) {
      assert.ok(isCadreError(error, "INVALID_OPTION"));
      return error.message;
    }
    return "";
  };
  assert.match(message({ schema: {}, versoin: "1.0.0" }), /no option "versoin".*"version"/);
  assert.match(message({ schema: {}, version: 1 }), /"version".*string/);
});

test("a key that is no pattern is refused", () => {
  for (const key of ["", "a..b", "a b", "a*", "#.#.#.#"]) {
    refusal("INVALID_PATTERN", () => defineEvents({ [key]: type<object>() }));
  }
});

test("upcasting an unknown type leaves the event alone", () => {
  const events = defineEvents({ known: type<object>() });
  const unknown = event("unknown", {});
  assert.equal(events.upcast(unknown), unknown);
});
