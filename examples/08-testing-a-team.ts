// Fifty simulated runs of a team whose processes crash at random calls of the store and the bus. A
// failure would print its seed.
import { type } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { simulateSeeds } from "cadre/testing";

const Pay = defineTask({
  name: "pay",
  input: type<number>(),
  output: type<string>(),
  maxAttempts: 9,
});

const sum = await simulateSeeds({
  seeds: 50,
  agents: () => [
    defineAgent({ name: "cashier", capacity: 2 }).does(Pay, async (amount, ctx) => {
      await ctx.step("reserve", () => amount);
      return ctx.step("charge", () => `paid ${amount}`);
    }),
  ],
  work: async (team) => {
    for (const amount of [10, 20, 30]) await team.tasks.create(Pay, amount);
  },
  faults: { crashBefore: 0.01, crashAfter: 0.01, loseAnswer: 0.02, duplicate: 0.1 },
});

console.log(
  `${sum.runs} runs, ${sum.tasksCreated} tasks, crashes: ${sum.crashes > 0 ? "many" : "none"}`,
);
console.log(
  `lost: ${sum.tasksLost}, two owners: ${sum.doubleOwners}, two receipts: ${sum.duplicateReceipts}`,
);

/* Output:
50 runs, 150 tasks, crashes: many
lost: 0, two owners: 0, two receipts: 0
*/
