/** Tenants and budgets go down with the work. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, type TaskState } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Part = defineTask({ name: "part", input: type<{ n: number }>() });
const Whole = defineTask({ name: "whole", input: type<{ n: number }>() });

test("a child's tenant is its parent's, and its budget never more than its parent's", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "a", capacity: 4 })
    .does(Part, ({ n }) => n)
    .does(Whole, ({ n }, ctx) =>
      ctx.call("part", Part, { n }, { tenant: "other", budget: { tokens: 900, calls: 2 } }),
    );
  const team = await bench.start({ agents: [agent] });
  const options = { id: "w", tenant: "acme", budget: { tokens: 500, money: 1 } };
  const handle = await team.tasks.create(Whole, { n: 1 }, options);
  await bench.until(handle.result());
  const state = (id: string): Promise<TaskState | undefined> => team.tasks.get(id);
  assert.equal((await state("w"))?.tenant, "acme");
  assert.deepEqual((await state("w"))?.budget, { tokens: 500, money: 1 });
  assert.equal((await state("w.part"))?.tenant, "acme");
  assert.deepEqual((await state("w.part"))?.budget, { tokens: 500, calls: 2, money: 1 });
});

test("planned tasks take their feature's tenant and budget", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "a" }).does(Part, ({ n }) => n);
  const team = await bench.start({ agents: [agent] });
  const feature = await team.features.create({
    title: "two",
    tenant: "acme",
    budget: { tokens: 100 },
    tasks: [
      { name: "one", definition: Part, input: { n: 1 }, budget: { tokens: 40 } },
      { name: "two", definition: Part, input: { n: 2 } },
    ],
  });
  const end = await bench.until(feature.finished());
  assert.equal(end.tenant, "acme");
  assert.deepEqual(end.budget, { tokens: 100 });
  const tasks = await feature.tasks();
  assert.deepEqual(
    tasks.map(({ tenant, budget }) => [tenant, budget]),
    [
      ["acme", { tokens: 40 }],
      ["acme", { tokens: 100 }],
    ],
  );
});

test("a budget of an unknown unit or an impossible amount is refused", async () => {
  const bench = testTeam();
  const team = await bench.start({});
  for (const [budget, message] of [
    [{ token: 1 }, /Did you mean "tokens"/],
    [{ calls: 1.5 }, /whole number/],
    [{ money: -1 }, /a number from 0/],
    [{ tokens: Number.NaN }, /a number from 0/],
  ] as const) {
    const options = { budget: budget as { readonly tokens: number } };
    const refusal = { code: "INVALID_OPTION", message };
    await assert.rejects(team.tasks.create(Part, { n: 1 }, options), refusal);
    const refusedPlan = { code: "INVALID_PLAN", message };
    const tasks = [{ name: "one", definition: Part, input: { n: 1 }, ...options }];
    await assert.rejects(team.features.create({ title: "x", tasks }), refusedPlan);
  }
});
