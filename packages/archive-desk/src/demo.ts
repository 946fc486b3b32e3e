/** `cadre demo`: the job from its beginning, or from where it stopped, to its summary. */
import { startProjection } from "cadre";
import { startCadre } from "cadre/agents";
import { openCorpus } from "./corpus.ts";
import type { CorpusOptions } from "./corpus.ts";
import { Desk, type DeskOutcome, type DeskParts } from "./desk.ts";
import { exitCodes, reportDeskError } from "./desk-exit.ts";
import { deskEvents, type RunFinished } from "./desk-events.ts";
import { defaultFolder, openFolder, pileOf, type DeskFolder } from "./desk-folder.ts";
import { deskProjection, type DeskView } from "./desk-view.ts";
import { Screen } from "./screen.ts";
import { renderSummary, summaryJson } from "./summary.ts";
import { wholeNumber } from "./text-layout.ts";
import { timing } from "./worker-order.ts";

export interface DemoOptions {
  /** A folder of .txt and .md files. @default the State of the Union addresses */
  readonly docs?: string;
  /** The first so many documents only. @default all */
  readonly limit?: number;
  /** The folder of the log. @default ".cadre/archive-desk" */
  readonly data?: string;
  /** The log instead of a folder's: `postgres://…`. @default the folder's */
  readonly store?: string;
  /** A broker that tells the events, `nats://…` for one. @default the log itself */
  readonly bus?: string;
  /** Processes that extract with compromise, 1 to 16. @default one a core, 2 to 4 */
  readonly readers?: number;
  /** Kills and freezes workers while they work. @default false */
  readonly chaos?: boolean;
  /** Deletes the work that the folder holds and begins anew. @default false */
  readonly fresh?: boolean;
  /** Prints the summary as one JSON object, and nothing else to standard output. @default false */
  readonly json?: boolean;
}

/**
 * Turns a pile of documents into a knowledge graph, and prints progress and a summary. Ctrl-C ends
 * it in order, and the same call goes on.
 *
 * @returns the exit code: 0; 1 when tasks failed; 130 when it was interrupted; otherwise what
 * `desk-exit.ts` says
 * @throws {CadreError} when the log can't be opened or written
 */
export async function demo(options: DemoOptions = {}): Promise<number> {
  const screen = new Screen(options.json ? process.stderr : process.stdout);
  const interrupt = new AbortController();
  const onSignal = (): void => {
    // The workers end with the process; the next run does again what they had not committed.
    if (interrupt.signal.aborted) process.exit(exitCodes.interrupted);
    interrupt.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  try {
    return await runDemo(options, screen, interrupt.signal);
  } catch (error) {
    screen.clear();
    return reportDeskError(error);
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

async function runDemo(
  options: DemoOptions,
  screen: Screen,
  interrupt: AbortSignal,
): Promise<number> {
  const { docs, limit, data = defaultFolder, fresh = false, chaos = false } = options;
  const corpusOptions: CorpusOptions = {
    ...(docs === undefined ? {} : { docsDir: docs }),
    ...(limit === undefined ? {} : { limit }),
  };
  const corpus = await openCorpus(corpusOptions);
  const folder = await openFolder(data, {
    fresh,
    ...(options.store === undefined ? {} : { store: options.store }),
    pile: pileOf(corpus, corpusOptions),
    onWait: () => screen.note("Another desk was in this folder; looking whether it still is …"),
  });
  try {
    await using team = await startCadre({
      name: "desk-supervisor",
      store: folder.log.store,
      bus: options.bus ?? folder.log.transport,
      events: deskEvents,
      orchestrator: false,
      ...timing,
    });
    // The graph is no JSON, and folding the log again takes a second: no checkpoints, no snapshots.
    await using live = await startProjection(team.store, deskProjection, {
      checkpointEvery: Number.MAX_SAFE_INTEGER,
      snapshot: false,
    });
    await live.caughtUp();
    const { finished } = live.state;
    if (finished !== undefined) {
      screen.note("This work is done already; here is what came of it. --fresh begins anew.");
      return showFinished(options, screen, finished);
    }
    announce(screen, live.state, corpus.ids.length, folder);
    const parts: DeskParts = {
      team,
      folder,
      live,
      corpus,
      corpusOptions,
      screen,
      chaos,
      interrupt,
      ...(options.bus === undefined ? {} : { bus: options.bus }),
      ...(options.readers === undefined ? {} : { readers: options.readers }),
    };
    return showOutcome(options, screen, await new Desk(parts).run());
  } finally {
    await folder.leave();
    await folder.log.close();
  }
}

function announce(screen: Screen, view: DeskView, documents: number, { place }: DeskFolder): void {
  if (view.completed === 0) {
    screen.note(`The desk reads ${wholeNumber(documents)} documents. Its log: ${place}`);
    return;
  }
  const [done, planned] = [view.completed, view.planned].map(wholeNumber);
  screen.note(`Going on: ${done} of ${planned} tasks were done before (${share(view)}).`);
}

function showOutcome(options: DemoOptions, screen: Screen, outcome: DeskOutcome): number {
  if (outcome.how === "finished") {
    for (const reason of outcome.blocked) process.stderr.write(`cadre: a feature: ${reason}\n`);
    return showFinished(options, screen, outcome.figures);
  }
  const { view } = outcome;
  const [done, planned] = [view.completed, view.planned].map(wholeNumber);
  screen.note(
    `Stopped: ${done} of ${planned} tasks are done (${share(view)}). The same command goes on ` +
      "from there; --fresh begins anew.",
  );
  return exitCodes.interrupted;
}

function showFinished(options: DemoOptions, screen: Screen, finished: RunFinished): number {
  const { summary, details } = finished;
  if (options.json) {
    process.stdout.write(`${JSON.stringify(summaryJson(summary))}\n`);
  } else {
    const { columns, color } = screen;
    screen.lines(["", ...renderSummary(summary, details, { columns, color })]);
    screen.note('\nAsk the graph about a name: cadre graph "Lincoln"');
  }
  return summary.tasksLost === 0 ? exitCodes.ok : exitCodes.failed;
}

function share({ completed, planned }: DeskView): string {
  return `${Math.floor((completed / Math.max(1, planned)) * 100)}%`;
}
