// A person stops what an agent is about to do, from the command line, with another process on the
// same file. What nobody objects to goes ahead when its window closes.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";

const Mail = defineTask({ name: "mail", input: type<string>(), output: type<string>() });

const writer = defineAgent({ name: "writer", capacity: 2 }).does(Mail, async (to, ctx) => {
  const deadlineMs = to === "everybody" ? 60_000 : 2_000; // the more it reaches, the longer
  const decision = await ctx.propose(
    { action: "send mail", content: { to, text: "Half price today!" } },
    { name: "send", mode: "veto", voters: { role: "editor" }, deadlineMs },
  );
  // Held back until it is decided: without an approval nothing is sent.
  if (decision.approved) return `sent to ${to}`;
  return `not sent to ${to}: ${decision.reason}`;
});

const folder = mkdtempSync(join(tmpdir(), "cadre-veto-"));
const store = `sqlite:${join(folder, "team.db")}`;
const people = [{ name: "ana", roles: ["editor"] }];
const team = await startCadre({ agents: [writer], people, store });

const friends = await team.tasks.create(Mail, "friends", { id: "friends" });
const everybody = await team.tasks.create(Mail, "everybody", { id: "everybody" });
while (!(await team.proposals.get("everybody.send"))) {
  await new Promise((resolve) => setTimeout(resolve, 50));
}

/** The same as `npx cadre …` in a shell. */
function cadre(...args: string[]): string {
  const entry = createRequire(import.meta.url).resolve("cadre/package.json");
  const program = join(dirname(entry), "bin", "cadre.js");
  const options = { env: { ...process.env, CADRE_STORE: store, COLUMNS: "72" } };
  return execFileSync(process.execPath, [program, ...args], options)
    .toString()
    .trim();
}

const shown = cadre("proposals", "show", "everybody.send").split("\n");
const told = ["proposal", "asks for", "content", "by", "voters", "not these"];
console.log(shown.filter((line) => told.some((name) => line.startsWith(`${name} `))).join("\n"));
console.log(cadre("proposals", "veto", "everybody.send", "--as", "ana", "--reason", "not to all"));

console.log(await everybody.result());
console.log(await friends.result());
await team.close();
rmSync(folder, { recursive: true });

/* Output:
proposal   everybody.send
asks for   send mail
content    {"to":"everybody","text":"Half price today!"}
by         writer
voters     any editor; goes ahead unless 1 object
not these  writer
everybody.send: veto by ana. It is vetoed: ana objected: not to all.
not sent to everybody: ana objected: not to all
sent to friends
 */
