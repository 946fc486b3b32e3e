/**
 * A software team takes a broken library to green. No model is needed: the agents are rules.
 *
 *   node main.ts [--data FOLDER] [--chaos] [--window SECONDS] [--ask] [--json]
 *
 * Kill it at any moment, and start the same command with the same folder again: it goes on.
 */
import { fileURLToPath } from "node:url";
import { foldProjection, secureRandom, startProjection, systemClock } from "cadre";
import { startCadre } from "cadre/agents";
import { readOptions } from "./command-line.ts";
import { MakeGreen, teamEvents } from "./contract.ts";
import { Crew } from "./crew.ts";
import { journalOf } from "./journal.ts";
import { printReport, reportOf } from "./report.ts";
import { Repository } from "./repository.ts";
import { storeOf, timing } from "./run-folder.ts";

const library = fileURLToPath(new URL("./library", import.meta.url));
const goal = "green";
const lookEveryMs = 200;
const mostKills = 6;
const killEveryMs = { least: 1_500, most: 4_000 };

const options = readOptions();
const { folder } = options;
const repository = new Repository(folder);
await repository.prepare(library);
await using team = await startCadre({
  name: "desk",
  store: storeOf(folder),
  events: teamEvents,
  people: [{ name: "ana", roles: ["maintainer"] }],
  orchestrator: false, // the workers have it
  ...timing,
});
await using progress = await startProjection(team.store, journalOf, { snapshot: false });
await progress.caughtUp();
let told = progress.state.lines.length;
say(told > 0 ? `goes on in ${folder}` : `works in ${folder}`);
progress.onChange(({ lines }) => {
  for (const line of lines.slice(told)) say(line);
  told = lines.length;
});

const task = await team.tasks.create(
  MakeGreen,
  {
    base: await repository.commitOf("found"),
    version: "1.1.0",
    refusedVersion: "2.0.0",
    ...(options.vetoWindowMs === undefined ? {} : { vetoWindowMs: options.vetoWindowMs }),
  },
  { id: goal }, // asked for at each start, and there is one
);
const crew = new Crew(folder, ["north", "south"]);
const stopping = new AbortController();
const besides = [answer(stopping.signal), ...(options.chaos ? [harm(stopping.signal)] : [])];
try {
  const result = await Promise.race([task.result(), crew.failed]);
  stopping.abort();
  await Promise.all(besides);
  await crew.stop();
  await progress.caughtUp();
  await repository.tidy();
  // From the log alone, not from what was seen on the way.
  const { state } = await foldProjection(team.store, journalOf);
  const report = await reportOf({ result, journal: state, repository });
  if (options.json) console.log(JSON.stringify(report, undefined, 2));
  else printReport(report);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  stopping.abort();
  await crew.stop();
}

function say(text: string): void {
  if (!options.json) console.log(text);
}

/** The maintainer's answer. In a veto window, and with `--ask`, it is left to the command line. */
async function answer(signal: AbortSignal): Promise<void> {
  const id = `${goal}.merge`;
  let proposal = await team.proposals.get(id);
  while (proposal === undefined && (await pause(lookEveryMs, signal))) {
    proposal = await team.proposals.get(id);
  }
  if (proposal?.status !== "open") return;
  if (options.ask || proposal.mode === "veto") {
    const verb = proposal.mode === "veto" ? "veto" : "approve";
    say(`To answer: CADRE_STORE=${storeOf(folder)} npx cadre proposals ${verb} ${id} --as ana`);
    return;
  }
  const hash = proposal.contentHash;
  await team.proposals.vote(id, { as: "ana", verdict: "approve", hash, reason: "it is green" });
}

/** Kills workers in the middle of whatever they do. */
async function harm(signal: AbortSignal): Promise<void> {
  const { least, most } = killEveryMs;
  for (let kills = 0; kills < mostKills; kills += 1) {
    if (!(await pause(least + (most - least) * secureRandom.next(), signal))) return;
    const worker = crew.killOne();
    if (worker !== undefined) await team.bus.publish("team.worker.killed", { worker });
  }
}

/** False when there is nothing more to wait for. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return systemClock.sleep(ms, signal).then(
    () => true,
    () => false,
  );
}
