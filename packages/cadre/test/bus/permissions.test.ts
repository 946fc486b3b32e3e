import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createEvent,
  KeyRing,
  SeededRandom,
  signEvent,
  type AgentEvent,
  type EventOptions,
  type Right,
} from "cadre";
import fc from "fast-check";
import { compilePattern } from "#src/core/pattern.ts";
import { covers } from "#src/bus/permission-rules.ts";
import { Permissions } from "#src/bus/permissions.ts";
import { keys, permissions, trusted, world, type Name } from "./permitted-world.ts";

const rights: readonly [Name, Right, string, string | undefined, boolean][] = [
  ["ann", "publish", "note.x", undefined, true],
  ["ann", "publish", "note.x", "a", true],
  ["ann", "publish", "note.x", "b", false],
  ["ann", "publish", "other.x", "a", false],
  ["ann", "publish", "ask.me", "a", true], // by its DID
  ["bea", "publish", "ask.me", "b", false],
  ["bea", "publish", "special.thing", undefined, false], // only within tenant a
  ["ann", "subscribe", "note.x.y", "a", true],
  ["ann", "subscribe", "note.x", "b", false],
  ["bea", "subscribe", "note.x", "b", true],
  ["ann", "claim", "read.books", "a", true],
  ["ann", "claim", "read.books", "b", false],
  ["ann", "claim", "write.books", "a", false],
  ["bea", "vote", "read.books", "b", true],
  ["bea", "vote", "read.books", "a", false],
  ["boss", "claim", "anything", "b", true],
  ["boss", "publish", "anything", undefined, true],
  ["none", "publish", "note.x", "a", false],
  ["none", "subscribe", "note.x", "a", false],
  ["free", "publish", "note.x", undefined, true],
  ["free", "subscribe", "note.x", "a", false],
];

for (const [who, right, on, tenant, allowed] of rights) {
  const of = tenant === undefined ? "" : ` of tenant ${tenant}`;
  test(`${who} ${allowed ? "may" : "may not"} ${right} ${on}${of}`, () => {
    const rules = new Permissions(permissions, new KeyRing(trusted));
    for (const name of [who, keys[who].did]) {
      assert.equal(rules.may(name, right, on, tenant), allowed);
    }
    assert.equal(rules.may("stranger", right, on, tenant), false);
    if (!allowed) {
      assert.throws(() => rules.assertMay(who, right, on, tenant), { code: "FORBIDDEN" });
    }
  });
}

test("a rule covers a pattern exactly if it matches all that the pattern matches", () => {
  const word = fc.constantFrom("a", "b", "*", "#");
  const pattern = fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.join("."));
  const topics: string[] = [];
  const grow = (topic: string, depth: number): void => {
    if (topic) topics.push(topic);
    if (depth === 0) return;
    for (const next of ["a", "b", "c"]) grow(topic ? `${topic}.${next}` : next, depth - 1);
  };
  grow("", 5);
  fc.assert(
    fc.property(pattern, pattern, (outer, inner) => {
      if (!covers(outer, inner)) return;
      const isOuter = compilePattern(outer);
      const isInner = compilePattern(inner);
      for (const topic of topics) assert.ok(!isInner(topic) || isOuter(topic), topic);
    }),
    { numRuns: 500 },
  );
  assert.ok(covers("#", "a.#") && covers("a.#", "a") && covers("a.*", "a.b") && covers("#", "#"));
  assert.ok(!covers("a.*", "a.#") && !covers("a.*", "#") && !covers("*", "#"));
});

test("who may not publish is told so, and nothing is sent", async (context) => {
  const { bus } = world(context);
  const publish = (name: Name, type: string, options: EventOptions = {}): Promise<unknown> =>
    bus(name).publish(type, {}, options);
  await assert.rejects(publish("ann", "other.x"), { code: "FORBIDDEN" });
  await assert.rejects(publish("ann", "note.x", { tenant: "b" }), { code: "FORBIDDEN" });
  await assert.rejects(publish("none", "note.x"), { code: "FORBIDDEN" });
  await assert.rejects(publish("free", "note.x", { tenant: "a" }), { code: "FORBIDDEN" });
  await assert.rejects(bus("none").request("ask.me", {}), { code: "FORBIDDEN" });
  const [batch] = await bus("none").publishBatch([{ type: "note.x", payload: {} }]);
  assert.ok(batch && "error" in batch);
  assert.equal(bus("ann").stats().published, 0);
});

test("an event is of the tenant of its source, whatever its publisher says", async (context) => {
  const { bus } = world(context);
  const tenantOf = async (name: Name, options: EventOptions = {}): Promise<string | undefined> =>
    (await bus(name).publish("note.x", {}, options)).metadata.tenant;
  assert.equal(await tenantOf("ann"), "a");
  assert.equal(await tenantOf("bea", { tenant: "b" }), "b");
  assert.equal(await tenantOf("boss"), undefined);
  assert.equal(await tenantOf("boss", { tenant: "b" }), "b");
  assert.equal(await tenantOf("free"), undefined);
});

test("a subscription needs the right to everything that it could be given", async (context) => {
  const { bus } = world(context);
  const deny = async (name: Name, pattern: string, options = {}): Promise<void> => {
    await assert.rejects(
      bus(name).subscribe(pattern, options, () => undefined),
      {
        code: "FORBIDDEN",
      },
    );
  };
  await deny("ann", "#");
  await deny("ann", "*.x");
  await deny("ann", "note.#", { also: ["other.#"] });
  await deny("ann", "task.*");
  await deny("none", "note.x");
  await deny("none", "note.x", { group: "g" });
  await deny("ann", "note.x", { as: "none" });
  await assert.rejects(bus("none").declareGroup("note.x", { group: "g" }), { code: "FORBIDDEN" });
  await assert.rejects(
    bus("none").respond("note.x", () => 1),
    { code: "FORBIDDEN" },
  );
  await assert.rejects(bus("none").listen("note.x").ready, { code: "FORBIDDEN" });
  await bus("ann").subscribe("note.#", () => undefined);
  await bus("boss").subscribe("#", () => undefined);
});

for (const group of [undefined, "g"]) {
  const how = group === undefined ? "broadcast" : "group";
  test(`a tenant sees nothing of another, with any wildcard (${how})`, async (context) => {
    const { bus, clock } = world(context);
    const seen: Record<string, (string | undefined)[]> = {};
    for (const name of ["ann", "bea", "boss", "free"] as const) {
      const list: (string | undefined)[] = (seen[name] = []);
      const options = group === undefined ? {} : { group: `${group}-${name}` };
      await bus(name).subscribe(
        "note.#",
        options,
        ({ metadata }) => void list.push(metadata.tenant),
      );
    }
    for (const name of ["ann", "bea", "free"] as const) await bus(name).publish("note.x", {});
    await bus("boss").publish("note.x", {}, { tenant: "b" });
    await clock.advance(10);
    assert.deepEqual(seen, {
      ann: ["a", undefined],
      bea: ["b", undefined, "b"],
      boss: ["a", "b", undefined, "b"],
      free: [undefined],
    });
  });
}

test("raw events of who may not publish them, or of another tenant, are not handed on", async (context) => {
  const { bus, raw, make, clock } = world(context);
  const seen: string[] = [];
  const violations: AgentEvent[] = [];
  await bus("boss").subscribe("#", { group: "all" }, (event) => void seen.push(event.type));
  await bus("boss").subscribe("violation.detected", (event) => void violations.push(event));
  const sign = (event: AgentEvent, name: Name): AgentEvent => signEvent(event, keys[name]);
  await raw(sign(make("note.ok", "ann", { tenant: "a" }), "ann"));
  await raw(sign(make("note.x", "none", { tenant: "a" }), "none")); // no right
  await raw(sign(make("other.x", "ann", { tenant: "a" }), "ann")); // no right to the type
  await raw(sign(make("note.x", "ann", { tenant: "b" }), "ann")); // into another tenant
  await raw(sign(make("note.x", "ann"), "ann")); // to all tenants
  await raw(sign(make("note.x", "bea", { tenant: "a" }), "bea"));
  await raw(sign(make("note.x", "boss", { tenant: "a" }), "ann")); // in the boss's name
  await raw(make("note.x", "boss", { tenant: "a" })); // unsigned
  await raw(sign(make("task.completed", "none", { tenant: "a" }), "none"));
  await raw(sign(make("action.voted", "free"), "free"));
  await raw(sign(make("agent.offline", "none", { tenant: "a" }), "none")); // of another's presence
  await clock.advance(10);
  assert.deepEqual(
    seen.filter((of) => of !== "violation.detected" && of !== "error"),
    ["note.ok"],
  );
  const rules = violations.map(({ payload }) => {
    const { agent, rule } = payload as { agent: string; rule: string };
    return `${agent} ${rule}`;
  });
  assert.deepEqual([...new Set(rules)].sort(), [
    "ann forbidden",
    "ann foreign_tenant",
    "bea foreign_tenant",
    "boss forged",
    "boss unsigned",
    "free forbidden",
    "none forbidden",
  ]);
});

test("a request is answered by who may hear it, and by nobody else", async (context) => {
  const { bus, raw, make, clock } = world(context);
  let asked: AgentEvent | undefined;
  await bus("ann").respond("ask.*", (event) => {
    asked = event;
    return new Promise(() => undefined); // it never answers
  });
  const gathered = bus("boss").gather("ask.me", {}, { timeoutMs: 1_000, tenant: "a" });
  await clock.advance(10);
  assert.ok(asked);
  const { replyTo = "" } = asked.metadata;
  const target = replyTo.slice("reply.".length);
  const reply = (source: Name, tenant: string | undefined, key: Name = source): Promise<void> => {
    const of = tenant === undefined ? {} : { tenant };
    const event = make(replyTo, source, { cause: asked!, target, ...of });
    return raw(signEvent(event, keys[key]));
  };
  await reply("none", "a"); // may not hear it
  await reply("bea", "b"); // another tenant
  await reply("bea", "a"); // and in disguise
  await reply("ann", "a", "none"); // forged
  await reply("ann", "a");
  await clock.advance(2_000);
  assert.deepEqual(
    (await gathered).map(({ source }) => source),
    ["ann"],
  );
});

test("nobody gives up another's request", async (context) => {
  const { bus, raw, make, clock } = world(context);
  let asked: AgentEvent | undefined;
  let signal: AbortSignal | undefined;
  await bus("ann").respond("ask.*", (event, delivery) => {
    asked = event;
    ({ signal } = delivery);
    return new Promise((resolve) => void clock.after(500, () => resolve({ done: true })));
  });
  const reply = bus("boss").request("ask.me", {}, { tenant: "a" });
  await clock.advance(10);
  const cancel = createEvent(
    { clock, random: new SeededRandom(9), source: "none" },
    "request.cancelled",
    { requestId: asked!.id },
    { tenant: "a" },
  );
  assert.ok(make);
  await raw(signEvent(cancel, keys.none));
  assert.equal(signal?.aborted, false);
  await clock.advance(1_000);
  assert.deepEqual((await reply).payload, { done: true });
});

test("history, replay and republish show and repeat only what one may", async (context) => {
  const { bus, clock } = world(context);
  await bus("ann").publish("note.x", {});
  await bus("bea").publish("note.x", {});
  await bus("boss").publish("secret.x", {});
  await clock.advance(1);
  const read = async (name: Name): Promise<readonly string[]> =>
    Array.fromAsync(bus(name).history(), ({ source, type }) => `${source} ${type}`);
  assert.deepEqual(await read("ann"), ["ann note.x"]);
  assert.deepEqual(await read("bea"), ["bea note.x"]);
  assert.deepEqual(await read("none"), []);
  assert.equal((await read("boss")).length, 3);
  assert.equal(await bus("ann").replay({}, { to: () => undefined }), 1);
  assert.equal(await bus("none").republish({}), 0);
  assert.equal(await bus("ann").republish({ type: "note.#" }), 1);
});

test("dead letters of another tenant are not shown, redriven or purged", async (context) => {
  const { bus, clock, transport } = world(context);
  const options = { group: "failing", retry: { maxAttempts: 1 } };
  await bus("boss").subscribe("note.#", options, () => {
    throw new Error("no");
  });
  await bus("ann").publish("note.x", {});
  await bus("bea").publish("note.x", {});
  await clock.advance(10);
  const letters = await Array.fromAsync(bus("boss").deadLetters.list());
  assert.equal(letters.length, 2);
  assert.ok(transport);
  const { deadLetters } = bus("boss");
  const sees = new Permissions(permissions);
  for (const { event } of letters) {
    assert.equal(sees.sees("ann", event?.metadata.tenant), event?.source === "ann");
  }
  assert.equal(await deadLetters.purge(letters[0]!.id), true);
});

test("a replay of what was allowed is allowed once", async (context) => {
  const { bus, raw, make } = world(context);
  const seen: AgentEvent[] = [];
  await bus("bea").subscribe("note.#", (event) => void seen.push(event));
  const event = signEvent(make("note.x", "bea", { tenant: "b" }), keys.bea);
  for (let times = 0; times < 3; times += 1) await raw(structuredClone(event));
  assert.equal(seen.length, 1);
});

test("rules say no more than they must: a name is no role, and a role no name", () => {
  const rules = new Permissions({
    rules: [
      { who: "role:admin", may: "publish", on: "#" },
      { who: "admin", may: "claim", on: "#" },
    ],
    members: { eve: { roles: ["admin"] }, "role:admin": {} },
  });
  assert.equal(rules.may("admin", "publish", "x"), false);
  assert.equal(rules.may("eve", "publish", "x"), true);
  assert.equal(rules.may("eve", "claim", "x"), false);
  assert.equal(rules.may("admin", "claim", "x"), true);
});
