/** What one tenant's agents propose, and what another's may learn of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryStore, type } from "cadre";
import type { PermissionOptions } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";

const Pay = defineTask({ name: "pay", input: type<object>(), output: type<string>() });

const permissions: PermissionOptions = {
  members: { ann: { tenant: "a" }, amy: { tenant: "a" }, bea: { tenant: "b" } },
  rules: [
    { who: ["ann", "amy", "bea"], may: "claim", on: "#" },
    { who: ["ann", "amy", "bea"], may: "vote", on: "#" },
    { who: ["ann", "amy"], may: "publish", on: "action.#" },
    { who: "bea", may: ["publish", "subscribe"], on: "agent.#" },
  ],
};

for (const voters of [{ role: "review" }, { agents: ["amy", "bea"] }]) {
  test(`another tenant is not asked for its vote (${JSON.stringify(voters)})`, async (context) => {
    const asked: string[] = [];
    const reviewer = (name: string) =>
      defineAgent({ name, capabilities: ["review"] }).votes(({ content }: { content: unknown }) => {
        asked.push(`${name} ${JSON.stringify(content)}`);
        return { verdict: "approve" as const };
      });
    const team = await startCadre({
      store: memoryStore(),
      permissions,
      agents: [
        reviewer("amy"),
        reviewer("bea"),
        defineAgent({ name: "ann" }).does(Pay, async (_input, ctx) => {
          const proposed = { action: "pay", content: { secret: "of a" } };
          const decision = await ctx.propose(proposed, { voters, quorum: 1, deadlineMs: 60_000 });
          return decision.status;
        }),
      ],
    });
    context.after(() => team.close({ deadlineMs: 100 }));
    const task = await team.tasks.create(Pay, {}, { tenant: "a" });
    assert.equal(await task.result({ timeoutMs: 30_000 }), "approved");
    const ballots = (await team.tasks.list()).filter(({ capability }) =>
      capability.startsWith("ballot"),
    );
    assert.deepEqual(
      ballots.map(({ capability }) => capability),
      ["ballot.amy"],
    );
    assert.deepEqual(asked, ['amy {"secret":"of a"}']);
  });
}

test("an agent of one tenant is not asked about by another", async (context) => {
  const team = await startCadre({
    store: memoryStore(),
    permissions,
    agents: [defineAgent({ name: "ann", capabilities: ["secret.work"] })],
  });
  context.after(() => team.close({ deadlineMs: 100 }));
  const ask = (source: string): Promise<unknown> =>
    team.bus.request("agent.ann.query", {}, { source, timeoutMs: 10_000 });
  await assert.rejects(ask("bea"), { code: "REQUEST_FAILED", message: /FORBIDDEN/ });
  assert.ok(await ask("cadre"));
});
