import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { systemClock, type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";
import { scriptedModel } from "cadre/testing";
import { runHere, temporaryFolder } from "./run-cli.ts";

const Write = defineTask({ name: "write", output: type<string>() });

test("budgets are listed, and granted more", { timeout: 30_000 }, async (context) => {
  const cwd = temporaryFolder(context);
  const store = `sqlite:${join(cwd, "team.db")}`;
  const model = scriptedModel([{ text: "a" }, { text: "b" }]);
  const agent = defineAgent({ name: "writer" }).does(Write, async (_input, ctx) => {
    const { doGenerate } = ctx.model(model, { price: () => 0.25, onExhausted: "ask" });
    for (let call = 0; call < 2; call += 1) await doGenerate({ prompt: [] });
    return "written";
  });
  const team = await startCadre({ agents: [agent], store });
  context.after(() => team.close());
  const task = await team.tasks.create(Write, {}, { id: "w", budget: { calls: 1, money: 9 } });
  while ((await task.state()).status !== "in_doubt") await systemClock.sleep(20);
  const cli = (...words: string[]) => runHere([...words, "--store", store], { cwd });
  const listed = await cli("budgets");
  assert.match(listed.stdout, /task:w +tokens +15 +0\b.*\n.*task:w +calls +1 +0 +1\n.*0\.25 +0 +9/);
  const nothing = await cli("budgets", "grant", "task:w");
  assert.equal(nothing.code, 2);
  assert.match(nothing.stderr, /--tokens, --calls or --money/);
  const wrong = await cli("budgets", "grant", "w", "--calls", "1");
  assert.match(wrong.stderr, /task:ID, feature:ID or tenant:NAME/);
  const granted = await cli("budgets", "grant", "task:w", "--calls", "1");
  assert.match(granted.stderr, /task:w may spend 2 calls, 9 money in all/);
  const resumed = await cli("sagas", "retry", "w", "model#2");
  assert.equal(resumed.code, 0, resumed.stderr);
  assert.equal(await task.result({ timeoutMs: 10_000 }), "written");
  const [state] = JSON.parse(`[${(await cli("budgets", "--json")).stdout}]`) as [
    { readonly scope: string; readonly spent: { readonly calls: number } },
  ];
  assert.deepEqual([state.scope, state.spent.calls], ["task:w", 2]);
});
