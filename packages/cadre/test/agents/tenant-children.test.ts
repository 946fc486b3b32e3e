/** What an agent behind a wall makes of its work stays behind it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkSignature, createIdentity, memory, memoryStore, systemClock, type } from "cadre";
import type { AgentEvent, PermissionOptions } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";

const Outer = defineTask({ name: "outer", input: type<object>(), output: type<string>() });
const Inner = defineTask({
  name: "inner",
  input: type<{ secret: string }>(),
  output: type<string>(),
});

const permissions: PermissionOptions = {
  members: { ann: { tenant: "a" }, bea: { tenant: "b" } },
  rules: [
    { who: ["ann", "bea"], may: "claim", on: "#" },
    { who: ["ann", "bea"], may: ["publish", "subscribe"], on: "custom.#" },
  ],
};

test("a child of an agent's task is of the agent's tenant, though its parent is of none", async (context) => {
  const team = await startCadre({
    store: memoryStore(),
    permissions,
    agents: [
      defineAgent({ name: "ann", capacity: 2 })
        .does(Outer, async (_input, ctx) => {
          const child = await ctx.spawn("part", Inner, { secret: "of a" });
          return child.result();
        })
        .does(Inner, () => "ann"),
      defineAgent({ name: "bea", capacity: 2 }).does(Inner, () => "bea"),
    ],
  });
  context.after(() => team.close({ deadlineMs: 100 }));
  for (let round = 0; round < 5; round += 1) {
    const task = await team.tasks.create(Outer, {});
    assert.equal(await task.result({ timeoutMs: 30_000 }), "ann");
    const child = await team.tasks.get(`${task.id}.part`);
    assert.equal(child?.tenant, "a");
  }
});

test("an agent asks in its own name, whatever its handler says", async (context) => {
  const sources: string[] = [];
  const tell = { source: "team", tenant: "b", timeoutMs: 30_000 };
  const team = await startCadre({
    store: memoryStore(),
    agents: [
      defineAgent({ name: "ann" }).does(Outer, async (_input, ctx) => {
        await ctx.ask("custom.question", {}, tell);
        return "asked";
      }),
    ],
  });
  context.after(() => team.close({ deadlineMs: 100 }));
  await team.bus.respond("custom.question", ({ source, metadata }) => {
    sources.push(`${source} ${metadata.tenant ?? "-"}`);
    return {};
  });
  const task = await team.tasks.create(Outer, {});
  await task.result({ timeoutMs: 30_000 });
  assert.deepEqual(sources, ["ann -"]);
});

test("forgeries that share an id are each on record", async (context) => {
  const store = memoryStore();
  const transport = memory();
  const identity = createIdentity();
  const team = await startCadre({ store, bus: transport, identity, signatures: {} });
  context.after(() => team.close({ deadlineMs: 100 }));
  await team.bus.subscribe("custom.#", () => undefined);
  const forged = (source: string): AgentEvent => ({
    id: "the same",
    type: "custom.lie",
    source,
    timestamp: systemClock.now(),
    payload: {},
    metadata: { version: "1.0.0", correlationId: "c" },
  });
  for (const source of ["one", "two", "three"]) {
    await transport.publish([{ event: forged(source) }]);
  }
  const recorded = async (): Promise<readonly AgentEvent[]> =>
    Array.fromAsync(store.read({ stream: "violations" }), ({ event }) => event);
  for (let tries = 0; tries < 2_000 && (await recorded()).length < 3; tries += 1) {
    await systemClock.sleep(5);
  }
  const events = await recorded();
  assert.deepEqual(
    events.map(({ payload }) => (payload as { agent: string }).agent),
    ["one", "two", "three"],
  );
  for (const event of events) assert.ok(checkSignature(event).valid);
});
