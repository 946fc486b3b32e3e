/**
 * A worker of the desk: its own process with its own connection to the log.
 *
 *   SIGTERM, or the supervisor is gone ──▶ takes nothing new, ends what it can, gives back the rest
 *   SIGINT                             ──▶ nothing: Ctrl-C reaches the whole group, and the
 *                                          supervisor decides
 */
import { systemClock } from "cadre";
import { startCadre } from "cadre/agents";
import type { AnyAgent, Cadre } from "cadre/agents";
import { openCorpus } from "./corpus.ts";
import type { Corpus } from "./corpus.ts";
import { archivist, checker, createReader, reader } from "./desk-agents.ts";
import { deskEvents } from "./desk-events.ts";
import { cutTask, planBatches, plannedTasks } from "./desk-tasks.ts";
import type { Extractor } from "./mention.ts";
import { timing, type WorkerOrder, type WorkerReport } from "./worker-order.ts";

const drainMs = 2_500; // a chunk takes a tenth of a second
const memoryEveryMs = 1_000;
const kbPerMb = 1_024;

function tell(report: WorkerReport): void {
  if (process.connected) process.send?.(report);
}

function tellMemory(): void {
  tell({ kind: "memory", peakMb: process.resourceUsage().maxRSS / kbPerMb });
}

/** Loads the one library that the worker needs: each takes a hundred megabytes. */
async function extractorFor(role: "compromise" | "wink"): Promise<Extractor> {
  if (role === "wink") return (await import("./extract-wink.ts")).createWinkExtractor();
  return (await import("./extract-compromise.ts")).createCompromiseExtractor();
}

async function agentsFor(
  { name, role }: WorkerOrder,
  corpus: Corpus,
): Promise<readonly AnyAgent[]> {
  if (role === "desk-chief") return [archivist(corpus)];
  const read = createReader(corpus);
  const onWork = (task: string): void => tell({ kind: "working", task });
  const extractor = await extractorFor(role);
  const readers = [reader({ name, kind: role, extractor, read, onWork })];
  return role === "wink" ? [...readers, checker(read)] : readers;
}

/** Asks for all that is to be done. What a chief that died had asked for stays as it is. */
async function direct(team: Cadre, corpus: Corpus): Promise<void> {
  const cuts = await Promise.all(
    planBatches(corpus).map((batch) =>
      team.tasks.create(cutTask, batch, { id: `cut-${batch.id}` }),
    ),
  );
  for (const cut of cuts) {
    const { features } = await cut.result();
    for (const { id, title, chunks } of features) {
      await team.features.create({ id, title, tasks: plannedTasks(chunks) });
    }
  }
}

async function work(order: WorkerOrder): Promise<void> {
  const corpus = await openCorpus(order.corpus);
  const team = await startCadre({
    name: order.name,
    agents: await agentsFor(order, corpus),
    store: order.store,
    ...(order.bus === undefined ? {} : { bus: order.bus }),
    events: deskEvents,
    orchestrator: order.role === "desk-chief",
    ...timing,
  });
  let closing = false;
  const close = (): void => {
    closing = true;
    void team.close({ deadlineMs: drainMs });
  };
  process.on("SIGTERM", close);
  process.on("disconnect", close);
  if (!process.connected) close();
  const report = (): void => {
    tellMemory();
    systemClock.after(memoryEveryMs, report, { background: true });
  };
  report();
  if (order.role === "desk-chief") {
    await direct(team, corpus).catch((error: unknown) => {
      if (!closing) throw error;
    });
  }
  await team.closed;
  tellMemory();
}

process.on("SIGINT", () => {});
try {
  await work(JSON.parse(process.argv[2] ?? "{}") as WorkerOrder);
} catch (error) {
  tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  process.exitCode = 1;
}
// What a handler left behind at the deadline must not keep the process.
process.exit();
