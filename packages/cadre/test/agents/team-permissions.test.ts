import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import {
  isCadreError,
  memoryStore,
  systemClock,
  type,
  type AgentEvent,
  type PermissionOptions,
} from "cadre";
import { defineAgent, defineTask, startCadre, type AnyAgent, type Cadre } from "cadre/agents";
import { until } from "../until.ts";

const Read = defineTask({
  name: "read",
  capability: "read.books",
  input: type<{ book: string }>(),
  output: type<string>(),
});

const permissions: PermissionOptions = {
  members: { ann: { tenant: "a" }, bea: { tenant: "b" }, idle: { tenant: "a" } },
  rules: [
    { who: ["ann", "bea"], may: "claim", on: "read.*" },
    { who: ["ann", "bea"], may: ["publish", "subscribe"], on: "custom.#" },
    { who: ["ann", "bea"], may: "vote", on: "pay" },
  ],
};

interface World {
  readonly team: Cadre;
  readonly heard: Record<string, string[]>;
  readonly failures: unknown[];
}

async function world(context: TestContext): Promise<World> {
  const heard: Record<string, string[]> = { ann: [], bea: [] };
  const failures: unknown[] = [];
  const reader = (name: string): AnyAgent =>
    defineAgent({ name, capacity: 2 })
      .does(Read, async ({ book }, ctx) => {
        if (book === "foreign") {
          const options = { tenant: name === "ann" ? "b" : "a" };
          await ctx.publish("custom.leak", {}, options).catch((error: unknown) => {
            failures.push(error);
          });
          await ctx
            .publish("agent.message", { from: name, content: "x" })
            .catch((error: unknown) => void failures.push(error));
          await ctx.waitFor("task.*").catch((error: unknown) => void failures.push(error));
        }
        await ctx.publish("custom.read", { book });
        return name;
      })
      .on("custom.#", (event: AgentEvent) => {
        heard[name]?.push(`${event.source} ${event.metadata.tenant ?? "-"}`);
      });
  const team = await startCadre({
    store: memoryStore(),
    agents: [
      reader("ann"),
      reader("bea"),
      defineAgent({ name: "idle" }).does(Read, () => "idle"), // has no right to claim
    ],
    permissions,
  });
  context.after(() => team.close({ deadlineMs: 100 }));
  return { team, heard, failures };
}

test("only who may claims, and only tasks of its tenant", async (context) => {
  const { team } = await world(context);
  for (const [tenant, by] of [
    ["a", "ann"],
    ["b", "bea"],
  ] as const) {
    for (let index = 0; index < 5; index += 1) {
      const task = await team.tasks.create(Read, { book: "x" }, { tenant });
      assert.equal(await task.result({ timeoutMs: 5_000 }), by);
    }
  }
  const nobodys = await team.tasks.create(Read, { book: "x" }, { tenant: "c" });
  await systemClock.sleep(30);
  assert.notEqual((await nobodys.state()).status, "completed");
  assert.equal((await nobodys.state()).owner, undefined);
});

test("what an agent publishes and hears stays in its tenant", async (context) => {
  const { team, heard } = await world(context);
  for (const tenant of ["a", "b"]) {
    const task = await team.tasks.create(Read, { book: "x" }, { tenant });
    await task.result({ timeoutMs: 5_000 });
  }
  await team.bus.publish("custom.all", {});
  await until(() => heard["ann"]!.length === 2 && heard["bea"]!.length === 2);
  assert.deepEqual(heard["ann"]!.toSorted(), ["ann a", "cadre -"]);
  assert.deepEqual(heard["bea"]!.toSorted(), ["bea b", "cadre -"]);
});

test("a handler cannot publish into another tenant, what it may not, or wait for it", async (context) => {
  const { team, failures } = await world(context);
  const task = await team.tasks.create(Read, { book: "foreign" }, { tenant: "a" });
  await task.result({ timeoutMs: 5_000 });
  assert.equal(failures.length, 3);
  for (const failure of failures) assert.ok(isCadreError(failure, "FORBIDDEN"), String(failure));
});

test("only who may votes, and only on what is of its tenant", async (context) => {
  const { team } = await world(context);
  const voters = { agents: ["ann", "bea", "idle"] };
  const pay = await team.proposals.open(
    { action: "pay", content: 1 },
    { voters, quorum: 3, deadlineMs: 60_000 },
  );
  const other = await team.proposals.open(
    { action: "delete", content: 1 },
    { voters, quorum: 3, deadlineMs: 60_000 },
  );
  const vote = (id: string, as: string, hash: string): Promise<unknown> =>
    team.proposals.vote(id, { as, verdict: "approve", hash });
  await vote(pay.id, "ann", pay.contentHash);
  await assert.rejects(vote(pay.id, "idle", pay.contentHash), { code: "FORBIDDEN" });
  await assert.rejects(vote(other.id, "ann", other.contentHash), { code: "FORBIDDEN" });
  const state = await pay.state();
  assert.deepEqual(
    state.votes.map(({ voter }) => voter),
    ["ann"],
  );
});

test("an agent whose handlers hear what it may not cannot be started", async () => {
  const spy = defineAgent({ name: "ann" }).on("#", () => undefined);
  await assert.rejects(startCadre({ agents: [spy], permissions }), { code: "FORBIDDEN" });
});
