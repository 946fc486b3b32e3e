/** What a member tries with its own good key, against the rules and the walls. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createEvent,
  SeededRandom,
  signEvent,
  VirtualClock,
  type AgentEvent,
  type DeadLetter,
} from "cadre";
import { Permissions } from "#src/bus/permissions.ts";
import { keys, world, type Name } from "./permitted-world.ts";

const random = new SeededRandom(5);

function said(name: Name, type: string, payload: unknown, tenant?: string): AgentEvent {
  const clock = new VirtualClock(1_000_000);
  const made = createEvent(
    { clock, random, source: name },
    type,
    {},
    tenant === undefined ? {} : { tenant },
  );
  return signEvent({ ...made, payload }, keys[name]);
}

test("nobody claims, ends, votes or is under pressure in another's name", async (context) => {
  const { bus, raw } = world(context);
  const seen: string[] = [];
  await bus("boss").subscribe("#", (event) => {
    if (event.source === "ann") seen.push(`${event.type} ${JSON.stringify(event.payload)}`);
  });
  const words = (who: string): readonly (readonly [string, object])[] => [
    ["task.claimed", { taskId: "t", agent: who, capability: "read.books" }],
    ["task.completed", { taskId: "t", agent: who }],
    ["action.voted", { proposalId: "p", voter: who }],
    ["validation.responded", { validationId: "p", validator: who }],
    ["agent.backpressure", { agent: who, queue: "q", size: 1, limit: 1 }],
    ["agent.offline", { agent: who }],
  ];
  for (const [type, payload] of words("bea")) await raw(said("ann", type, payload, "a"));
  assert.equal(seen.length, 0, seen.join("\n"));
  for (const [type, payload] of words("ann")) await raw(said("ann", type, payload, "a"));
  for (const [type, payload] of words(keys.ann.did)) await raw(said("ann", type, payload, "a"));
  // By its name, or as the DID that its source would be: only the name is what it signs as.
  assert.equal(seen.length, 6);
  assert.ok(seen.every((line) => line.includes(':"ann"')));
});

test("a payload that is no object is refused like any other, and not tried again", async (context) => {
  const { bus, raw } = world(context);
  const seen: AgentEvent[] = [];
  await bus("boss").subscribe("other.#", { group: "g" }, (event) => void seen.push(event));
  for (const payload of [null, [], "text", 7]) await raw(said("ann", "other.x", payload, "a"));
  assert.deepEqual(seen, []);
  const letters = await Array.fromAsync(bus("boss").deadLetters.list());
  assert.deepEqual(
    letters.map(({ reason, attempts }) => `${reason} ${attempts}`),
    Array(4).fill("rejected 1"),
  );
});

test("the errors of one tenant are not told to another", async (context) => {
  const { bus, clock } = world(context);
  const heard: Record<string, string[]> = {};
  for (const name of ["ann", "bea", "boss", "free"] as const) {
    const list: string[] = (heard[name] = []);
    bus(name).onError(({ message, origin }) => void (origin === "remote" && list.push(message)));
  }
  await clock.advance(10);
  bus("ann").raise({ severity: "error", message: "the secret of a" });
  await clock.advance(10);
  assert.deepEqual(heard, { ann: [], bea: [], boss: ["the secret of a"], free: [] });
});

test("bytes of nobody knows which tenant are shown to who may see all", async (context) => {
  const { bus, transport } = world(context);
  const letter: DeadLetter = {
    id: "g/1",
    group: "g",
    bytes: "c2VjcmV0",
    reason: "undecodable",
    error: { name: "Error", message: "no JSON" },
    attempts: 1,
    position: "1",
    firstFailedAt: 1,
    lastFailedAt: 1,
  };
  await transport.deadLetters?.put(letter);
  for (const name of ["ann", "bea", "free", "none"] as const) {
    assert.deepEqual(await Array.fromAsync(bus(name).deadLetters.list()), []);
    assert.equal(await bus(name).deadLetters.purge("g/1"), false);
  }
  assert.equal((await Array.fromAsync(bus("boss").deadLetters.list())).length, 1);
  // Where there are no tenants, there is no wall.
  const open = new Permissions({ rules: [], members: { ann: { roles: ["x"] } } });
  assert.equal(open.seesUnknown("ann"), true);
});

test("middleware cannot make what its publisher may not say", async (context) => {
  const { bus, clock } = world(context);
  const seen: AgentEvent[] = [];
  await bus("boss").subscribe("#", (event) => void seen.push(event));
  const ann = bus("ann");
  const stopType = ann.usePublish((event, next) => next({ ...event, type: "other.x" }));
  await assert.rejects(ann.publish("note.x", {}), { code: "FORBIDDEN" });
  stopType();
  // What the boss may say is sent, and whoever gets it sees that it bears another's signature.
  const stopSource = ann.usePublish((event, next) => next({ ...event, source: "boss" }));
  await ann.publish("note.x", {});
  stopSource();
  const stop = ann.usePublish((event, next) =>
    next({ ...event, metadata: { ...event.metadata, tenant: "b" } }),
  );
  await assert.rejects(ann.publish("note.x", {}), { code: "FORBIDDEN" });
  stop();
  await clock.advance(10);
  assert.deepEqual(
    seen.filter(({ type }) => type === "note.x" || type === "other.x"),
    [],
  );
});

test("members of one group are of one tenant: none takes what it must not see", async (context) => {
  const { bus } = world(context);
  await bus("ann").subscribe("note.#", { group: "g" }, () => undefined);
  await assert.rejects(
    bus("bea").subscribe("note.#", { group: "g" }, () => undefined),
    { code: "GROUP_MISMATCH" },
  );
  await assert.rejects(bus("free").declareGroup("note.#", { group: "g" }), {
    code: "GROUP_MISMATCH",
  });
});
