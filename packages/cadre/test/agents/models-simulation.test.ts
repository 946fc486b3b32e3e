/**
 * Models under the simulator: whatever crashes, freezes or is cut off, never more is paid than the
 * budgets say, what is paid is charged, and each answer that is on record was given.
 *
 * CADRE_MODEL_SEEDS sets the number of seeds (8 unless set); CADRE_SEED runs one alone.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type, type Clock, type EventStore } from "cadre";
import { defineAgent, defineTask, type BudgetState, type LanguageModel } from "cadre/agents";
import { everyFault, scriptedModel, simulateSeeds, type Scenario } from "cadre/testing";

const seeds = Number(process.env["CADRE_MODEL_SEEDS"] ?? 8);
const isAlone = process.env["CADRE_SEED"] !== undefined;

const Write = defineTask({
  name: "write",
  input: type<{ calls: number }>(),
  output: type<string>(),
  maxAttempts: 40,
});

const tasks = 10;
const tenantBudget = { calls: 30, tokens: 2_000 };
const taskBudget = { calls: 9, tokens: 600 };

/** The provider: it knows what it wants to be paid for, and by whom. */
class Provider {
  readonly bill = new Map<string, { calls: number; tokens: number }>();
  readonly given = new Set<string>();

  model(task: string, clock: Clock): LanguageModel {
    let number = 0;
    const answer = async ({ abortSignal }: { readonly abortSignal: AbortSignal }) => {
      await clock.sleep(300, abortSignal);
      const known = this.bill.get(task) ?? { calls: 0, tokens: 0 };
      this.bill.set(task, { calls: known.calls + 1, tokens: known.tokens + 45 });
      const text = `${task} ${(number += 1)} ${known.calls}`;
      this.given.add(text);
      return {
        content: [{ type: "text", text }],
        finishReason: "stop",
        usage: { inputTokens: 20, outputTokens: 25 },
      };
    };
    return { ...scriptedModel([], { provider: "bank" }), doGenerate: answer };
  }
}

async function ledgers(store: EventStore): Promise<ReadonlyMap<string, BudgetState["spent"]>> {
  const slots = await store.slots("budget/");
  return new Map(
    slots.map(({ name, value }) => {
      const { spent, doubtful, open } = JSON.parse(value) as {
        readonly spent: BudgetState["spent"];
        readonly doubtful: BudgetState["spent"];
        readonly open: Readonly<Record<string, BudgetState["spent"]>>;
      };
      const all = [spent, doubtful, ...Object.values(open)];
      const sum = (unit: "calls" | "tokens" | "money"): number =>
        all.reduce((total, part) => total + part[unit], 0);
      const charged = { calls: sum("calls"), tokens: sum("tokens"), money: sum("money") };
      return [name.slice("budget/".length), charged] as const;
    }),
  );
}

const scenario: Scenario<Provider> = {
  world: () => new Provider(),
  processes: ["a", "b", "c"],
  team: { budgets: { tenant: { acme: tenantBudget } } },
  agents: (_process, world) => [
    defineAgent({ name: "writer", capacity: 4 }).does(Write, async ({ calls }, ctx) => {
      const provider = world.model(ctx.task.id, ctx.clock);
      const model = ctx.model(provider, { estimate: () => 20 });
      const texts: string[] = [];
      for (let call = 0; call < calls; call += 1) {
        const asked = { prompt: [], maxOutputTokens: 30 };
        const answer = (await model.doGenerate(asked as never)) as {
          readonly content: readonly [{ readonly text: string }];
        };
        texts.push(answer.content[0].text);
      }
      return texts.join();
    }),
  ],
  work: async (team, _world, clock) => {
    for (let n = 0; n < tasks; n += 1) {
      const options = { id: `w${n}`, tenant: "acme", budget: taskBudget };
      await team.tasks.create(Write, { calls: 1 + (n % 4) }, options);
      await clock.sleep(400);
    }
  },
  invariants: [
    async (store, { bill, given }) => {
      const wrong: string[] = [];
      const charged = await ledgers(store);
      const total = { calls: 0, tokens: 0 };
      const check = (scope: string, paid: typeof total, most: typeof total): void => {
        const known = charged.get(scope) ?? { calls: 0, tokens: 0 };
        for (const unit of ["calls", "tokens"] as const) {
          if (paid[unit] > most[unit]) wrong.push(`${scope}: ${paid[unit]} ${unit} were paid`);
          if (paid[unit] > known[unit]) wrong.push(`${scope}: ${known[unit]} ${unit} are charged`);
          if (known[unit] > most[unit])
            wrong.push(`${scope}: ${known[unit]} ${unit} of the budget`);
        }
      };
      for (const [task, paid] of bill) {
        total.calls += paid.calls;
        total.tokens += paid.tokens;
        check(`task:${task}`, paid, taskBudget);
      }
      check("tenant:acme", total, tenantBudget);
      for await (const { event } of store.read({ type: "task.completed" })) {
        const { result = "" } = event.payload as { readonly result?: string };
        for (const text of result.split(",")) {
          if (!given.has(text)) wrong.push(`"${text}" was never answered`);
        }
      }
      return wrong;
    },
  ],
};

test("never more is paid than the budgets say, whatever fails", async (t) => {
  const sum = await simulateSeeds({ ...scenario, faults: everyFault, seeds });
  t.diagnostic(JSON.stringify({ runs: sum.runs, crashes: sum.crashes, virtualMs: sum.virtualMs }));
  assert.equal(sum.runs, isAlone ? 1 : seeds);
  assert.ok(sum.crashes > 0, "something must have gone wrong");
});
