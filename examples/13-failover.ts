// An agent is found by what it can do. Its process is killed in the middle of a task, and another
// one, on the same file, goes on where it was.
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock, type } from "cadre";
import { defineAgent, defineTask, startCadre, type Cadre } from "cadre/agents";

const text = { input: type<string>(), output: type<string>() };
const Translate = defineTask({ name: "translate.french", ...text });
const Klingon = defineTask({ name: "translate.klingon", ...text });
const timing = { heartbeatMs: 200, suspectAfterMs: 1_000, leaseMs: 2_000 };

const [name, file] = process.argv.slice(2);
if (name) await beTranslator(name, file!);
else await watchOver();

/** A process of its own: one translator. */
async function beTranslator(agentName: string, store: string): Promise<void> {
  const translator = defineAgent({
    name: agentName,
    specializations: ["poetry"],
    version: "1.2.0",
  }).does(Translate, async (line, ctx) => {
    const draft = await ctx.step("draft", () => `${line} (drafted by ${ctx.agent})`);
    await ctx.progress(0.5, "drafted");
    if (ctx.agent === "anna") await ctx.sleep("think", 3_600_000);
    return `${draft}, finished by ${ctx.agent}`;
  });
  const team = await startCadre({ agents: [translator], store, ...timing });
  process.on("message", () => void team.close().then(() => process.disconnect()));
  process.send?.("ready");
}

/** Resolves when the team sees the new agent. */
async function start(team: Cadre, agent: string, store: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(import.meta.url), [agent, store]);
  await once(child, "message");
  while (team.directory.find({ agent }).length === 0) await systemClock.sleep(50);
  return child;
}

/** Resolves when the log has an event of this type. */
async function until(team: Cadre, eventType: string): Promise<void> {
  for (;;) {
    for await (const _event of team.store.read({ type: eventType, limit: 1 })) return;
    await systemClock.sleep(50);
  }
}

async function watchOver(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "failover-"));
  const store = `sqlite:${join(folder, "team.db")}`;
  const team = await startCadre({ store, ...timing });

  const klingon = await team.tasks.create(Klingon, "nuqneH");
  console.log(await klingon.noAgent());

  let endWatch = (): void => {};
  const gone = new Promise<void>((resolve) => {
    const query = { capability: "translate.french", specialization: "poetry", live: true };
    endWatch = team.directory.watch(query, ({ kind, entry: { card, presence } }) => {
      if (kind !== "changed") console.log(kind, card.agent, card.version, presence);
      if (kind === "left" && card.agent === "anna") resolve();
    });
  });

  const anna = await start(team, "anna", store);
  const task = await team.tasks.create(Translate, "the fog comes");
  await until(team, "step.timer"); // she has drafted, and thinks
  console.log("owner:", (await task.state()).owner?.agent);

  anna.kill("SIGKILL");
  await gone;
  const boris = await start(team, "boris", store);
  console.log(await task.result());
  const { epoch, triedBy } = await task.state();
  console.log("epoch", epoch, "after", triedBy.join());

  endWatch();
  boris.send("stop");
  await once(boris, "exit");
  await team.close();
  await rm(folder, { recursive: true });
}

/* Output:
no live agent offers "translate.klingon", none was ever seen here
joined anna 1.2.0 online
owner: anna
left anna 1.2.0 dead
joined boris 1.2.0 online
the fog comes (drafted by anna), finished by boris
epoch 2 after anna
*/
