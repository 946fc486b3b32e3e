/**
 * The supervisor: one run of the desk, from the start of its workers to the end of the work or of
 * the reader's patience. It extracts nothing itself.
 *
 *   start the crew ──▶ follow the log ──all features ended──▶ stop the crew ──▶ fold the whole log
 *                            ├──Ctrl-C──▶ stop the crew in order; the same command goes on
 *                            └──a worker keeps dying──▶ stop the crew; the error says why
 */
import { availableParallelism } from "node:os";
import { createEvent, foldProjection, secureRandom, systemClock } from "cadre";
import type { RunningProjection } from "cadre";
import type { Cadre } from "cadre/agents";
import { Chaos } from "./chaos.ts";
import type { Corpus, CorpusOptions } from "./corpus.ts";
import { Crew } from "./crew.ts";
import type { Worker } from "./crew.ts";
import type { DeskError } from "./desk-error.ts";
import type { DeskEvents, RunFinished } from "./desk-events.ts";
import type { DeskFolder } from "./desk-folder.ts";
import { ProgressMeter } from "./desk-progress.ts";
import { planBatches } from "./desk-tasks.ts";
import { deskProjection, isDone, type DeskView } from "./desk-view.ts";
import { figuresOf } from "./figures.ts";
import type { Screen } from "./screen.ts";
import type { WorkerOrder } from "./worker-order.ts";

export interface DeskParts {
  readonly team: Cadre;
  readonly folder: DeskFolder;
  readonly live: RunningProjection<DeskView>;
  readonly corpus: Corpus;
  readonly corpusOptions: CorpusOptions;
  readonly screen: Screen;
  readonly chaos: boolean;
  /** URL of the workers' broker. @default the log */
  readonly bus?: string;
  readonly readers?: number;
  /** Aborted by Ctrl-C. */
  readonly interrupt: AbortSignal;
}

export type DeskOutcome =
  | { readonly how: "finished"; readonly figures: RunFinished; readonly blocked: readonly string[] }
  | { readonly how: "interrupted"; readonly view: DeskView };

const kbPerMb = 1_024;
const tickMs = 200;
// compromise is the slow one of the two extractors: it gets a process a core.
const mostReaders = 4;

export class Desk {
  readonly #parts: DeskParts;
  readonly #crew: Crew;
  readonly #chaos: Chaos | undefined;
  readonly #meter: ProgressMeter;
  readonly #batches: number;
  readonly #failed = Promise.withResolvers<never>();
  readonly #done = Promise.withResolvers<void>();

  constructor(parts: DeskParts) {
    this.#parts = parts;
    const { corpus, team, screen } = parts;
    this.#batches = planBatches(corpus).length;
    const orders = crewOrders(parts);
    this.#crew = new Crew(orders, {
      onWorking: (worker) => this.#chaos?.working(worker),
      onRestart: (worker, reason) => screen.note(`started ${worker.name} again (${reason})`),
      onFailure: (error: DeskError) => this.#failed.reject(error),
    });
    this.#failed.promise.catch(() => undefined); // whoever runs the desk sees it
    const { directory } = team;
    const documents = corpus.ids.length;
    this.#meter = new ProgressMeter({ crew: this.#crew, directory, documents });
    if (!parts.chaos) return;
    this.#chaos = new Chaos({
      crew: this.#crew,
      random: secureRandom,
      view: () => parts.live.state,
      record: (type, worker) => this.#record(type, worker),
      note: (text) => screen.note(text),
    });
  }

  async run(): Promise<DeskOutcome> {
    const { live, corpus, chaos, interrupt } = this.#parts;
    await this.#say("desk.run.started", {
      documents: corpus.ids.length,
      readers: this.#crew.workers.filter(({ order }) => order.role !== "desk-chief").length,
      chaos,
    });
    const stopLooking = live.onChange((view) => this.#look(view));
    const stopDrawing = this.#draw();
    this.#crew.start();
    this.#look(live.state);
    try {
      const how = await Promise.race([
        this.#done.promise.then(() => "finished" as const),
        aborted(interrupt).then(() => "interrupted" as const),
        this.#failed.promise,
      ]);
      return how === "finished" ? await this.#finish() : await this.#interrupted();
    } catch (error) {
      this.#chaos?.abort();
      await this.#crew.stop();
      await this.#stopped("failed");
      throw error;
    } finally {
      stopLooking();
      stopDrawing();
      this.#parts.screen.clear();
    }
  }

  #look(view: DeskView): void {
    if (view.planned > 0) this.#chaos?.progress(view.completed / this.#estimate(view));
    if (isDone(view, this.#batches)) this.#done.resolve();
  }

  /** Tasks in all, as far as it can be known while the archivist still cuts. */
  #estimate(view: DeskView): number {
    const cut = Math.max(1, view.cuts.size);
    return Math.max(view.planned, (view.planned * this.#batches) / cut);
  }

  #draw(): () => void {
    const { screen, live } = this.#parts;
    let cancel = (): void => {};
    const tick = (): void => {
      screen.progress(this.#meter.read(live.state), systemClock.monotonic());
      cancel = systemClock.after(tickMs, tick);
    };
    tick();
    return () => cancel();
  }

  async #finish(): Promise<DeskOutcome> {
    const { team, folder } = this.#parts;
    await this.#chaos?.end();
    await this.#crew.stop();
    // From the log alone, not from what was seen on the way.
    const { state } = await foldProjection(team.store, deskProjection);
    const peakMemoryMb = this.#peakMb();
    const { summary, details } = figuresOf(state, { peakMemoryMb, diskMb: await folder.size() });
    const figures: RunFinished = { peakMemoryMb, summary, details };
    await this.#say("desk.run.finished", figures);
    return { how: "finished", figures, blocked: state.blocked };
  }

  async #interrupted(): Promise<DeskOutcome> {
    const { screen, live } = this.#parts;
    screen.note("Stopping: what runs is brought to its end. Ctrl-C again ends at once.");
    this.#chaos?.abort();
    await this.#crew.stop();
    await this.#stopped("interrupted");
    await live.caughtUp();
    return { how: "interrupted", view: live.state };
  }

  async #stopped(reason: "interrupted" | "failed"): Promise<void> {
    await this.#say("desk.run.stopped", { reason, peakMemoryMb: this.#peakMb() });
  }

  /** Into the log: the desk folds it, and its relay tells the bus where that is another system. */
  async #say<Type extends keyof DeskEvents>(type: Type, payload: DeskEvents[Type]): Promise<void> {
    const { store, name } = this.#parts.team;
    const context = { clock: systemClock, random: secureRandom, source: name };
    await store.commit({ outbox: [createEvent(context, type, payload)] });
  }

  async #record(
    type: keyof DeskEvents & `desk.worker.${string}`,
    { name, pid }: Worker,
  ): Promise<void> {
    try {
      await this.#say(type, { worker: name, pid });
      await this.#parts.live.caughtUp();
    } catch (error) {
      this.#failed.reject(error);
    }
  }

  #peakMb(): number {
    return this.#crew.peakMb + process.resourceUsage().maxRSS / kbPerMb;
  }
}

function crewOrders(parts: DeskParts): readonly WorkerOrder[] {
  const { folder, corpusOptions, bus } = parts;
  const readers = parts.readers ?? Math.min(mostReaders, Math.max(2, availableParallelism()));
  const common = { store: folder.store, corpus: corpusOptions, ...(bus ? { bus } : {}) };
  return [
    { name: "desk-chief", role: "desk-chief", ...common },
    ...Array.from({ length: readers }, (_, index) => ({
      name: `reader-compromise-${index + 1}`,
      role: "compromise" as const,
      ...common,
    })),
    { name: "reader-wink", role: "wink", ...common },
  ];
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
