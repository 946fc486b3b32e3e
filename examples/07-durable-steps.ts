// A process is killed in the middle of a task. The next one goes on behind the last finished step.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";

const Trip = defineTask({
  name: "book.trip",
  input: type<{ to: string }>(),
  output: type<string>(),
});

const agency = defineAgent({ name: "agency" }).does(Trip, async ({ to }, ctx) => {
  const flight = await ctx.step("flight", () => say(`flight to ${to} booked`));
  const hotel = await ctx.step("hotel", () => {
    if (process.argv[3] === "crash") process.kill(process.pid, "SIGKILL");
    return say(`hotel in ${to} booked`);
  });
  return `${flight}, ${hotel}`;
});

function say(text: string): string {
  console.log(`  ${text}`);
  return text;
}

if (process.argv[2]) {
  await using team = await startCadre({ agents: [agency], store: `sqlite:${process.argv[2]}` });
  const task = await team.tasks.create(Trip, { to: "Oslo" }, { id: "trip" });
  console.log(`result: ${await task.result()}`);
} else {
  const folder = mkdtempSync(join(tmpdir(), "cadre-example-"));
  const file = join(folder, "team.db");
  for (const mode of ["crash", "calm"]) {
    const run = spawnSync(
      process.execPath,
      [...process.execArgv, import.meta.filename, file, mode],
      {
        encoding: "utf8",
      },
    );
    console.log(`${mode}: ${run.signal ?? `exit ${run.status}`}`);
    process.stdout.write(run.stdout);
    process.stderr.write(run.stderr);
  }
  rmSync(folder, { recursive: true });
}

/* Output:
crash: SIGKILL
  flight to Oslo booked
calm: exit 0
  hotel in Oslo booked
result: flight to Oslo booked, hotel in Oslo booked
*/
