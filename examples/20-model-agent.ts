// An agent with a model and a tool. Its first attempt fails at the end; the second pays for nothing
// again. A budget of money bounds it all.
import { generateText, jsonSchema, stepCountIs, tool } from "ai";
import { type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";
import { scriptedModel } from "cadre/testing";

// A model without a provider. A real one is this line, and nothing else changes, with
// `anthropic` from @ai-sdk/anthropic: `const model = anthropic("claude-sonnet-4-5")`.
const model = scriptedModel([
  { expect: "Oslo", toolCalls: [{ tool: "weather", input: { city: "Oslo" } }] },
  { expect: "weather gave", text: "Take the umbrella.", usage: { outputTokens: 4 } },
]);

const Advise = defineTask({
  name: "advise",
  input: type<{ city: string }>(),
  output: type<string>(),
});

const adviser = defineAgent({ name: "adviser" }).does(Advise, async ({ city }, ctx) => {
  const { text } = await generateText({
    model: ctx.model(model),
    prompt: `What does one need in ${city} today?`,
    stopWhen: stepCountIs(5),
    tools: ctx.tools({
      weather: tool({
        inputSchema: jsonSchema<{ city: string }>({
          type: "object",
          properties: { city: { type: "string" } },
        }),
        execute: (asked) => {
          console.log(`  the weather of ${asked.city} is looked up`);
          return { sky: "rain" };
        },
      }),
    }),
  });
  console.log(`attempt ${ctx.attempt}: ${text}`);
  if (ctx.attempt === 1) throw new Error("the power is cut");
  return text;
});

const team = await startCadre({
  agents: [adviser],
  models: { price: ({ inputTokens, outputTokens }) => (inputTokens + 5 * outputTokens) / 1_000 },
});
const task = await team.tasks.create(Advise, { city: "Oslo" }, { id: "a", budget: { money: 50 } });
console.log(`result: ${await task.result()}`);
for await (const { event } of team.store.read({ type: "model.called" })) {
  const { step, cost } = event.payload as { step: string; cost: number };
  console.log(`${step} cost ${cost.toFixed(3)} $`);
}
const [budget] = await team.budgets.list();
console.log(`spent: ${budget?.spent.money.toFixed(3)} $ in ${budget?.spent.calls} calls`);
model.assertDone();
await team.close();

/* Output:
  the weather of Oslo is looked up
attempt 1: Take the umbrella.
attempt 2: Take the umbrella.
result: Take the umbrella.
model#1 cost 0.035 $
model#2 cost 0.030 $
spent: 0.065 $ in 2 calls
*/
