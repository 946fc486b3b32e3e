// An agent's state is a fold of its own events: it is there again after a restart, and nothing else
// has to be saved.
import { rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";

const folder = mkdtempSync(join(tmpdir(), "cadre-example-"));
const store = `sqlite:${join(folder, "team.db")}`;

const Deposit = defineTask({ name: "deposit", input: type<number>(), output: type<number>() });

const teller = defineAgent({
  name: "teller",
  state: {
    initial: { balance: 0 },
    apply: (state, event) =>
      event.type === "custom.deposited"
        ? { balance: state.balance + (event.payload as { amount: number }).amount }
        : state,
  },
}).does(Deposit, (amount, ctx) => {
  ctx.record("custom.deposited", { amount });
  return ctx.state.balance + amount;
});

for (const amount of [100, 20, 3]) {
  await using team = await startCadre({ agents: [teller], store });
  const task = await team.tasks.create(Deposit, amount);
  console.log(`balance after ${amount}: ${await task.result()}`);
}
rmSync(folder, { recursive: true });

/* Output:
balance after 100: 100
balance after 20: 120
balance after 3: 123
*/
