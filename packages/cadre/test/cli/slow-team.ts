/** A team whose one task takes SLOW_MS milliseconds, for the tests of this folder. */
import { setTimeout as wait } from "node:timers/promises";

import { type } from "cadre";
import { defineAgent, defineTask, type Cadre, type CadreOptions } from "cadre/agents";

const Sleep = defineTask({ name: "sleep", input: type<{}>(), output: type<null>() });

export const agents = [
  defineAgent({ name: "sleeper" }).does(Sleep, async (_, { signal }) => {
    process.stdout.write("the slow one begins\n");
    await wait(Number(process.env["SLOW_MS"]), undefined, { signal });
    process.stdout.write("the slow one ends\n");
    return null;
  }),
];

export const cadre: CadreOptions = { heartbeatMs: 100, leaseMs: 1_000 };

export async function work(team: Cadre): Promise<void> {
  const task = await team.tasks.create(Sleep, {}, { id: "sleep" });
  await task.result().catch(() => {}); // the team may be closed before
}
