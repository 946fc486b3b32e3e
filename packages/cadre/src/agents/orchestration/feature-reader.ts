/** Keeps the board of features up with the log, from the last mark on. */
import type { AgentEvent } from "../../core/event.ts";
import type { FeatureProgress } from "../feature-fold.ts";
import { LogMark } from "../log-mark.ts";
import { loadTask } from "../task-board.ts";
import { isFinal } from "../task-fold.ts";
import type { TeamContext } from "../team-context.ts";
import type { FeatureBoard } from "./feature-board.ts";
import { loadFeature } from "./feature-log.ts";

export interface FeatureEars {
  /** There may be something to decide about it. */
  changed(progress: FeatureProgress): void;
  /** The task that waits for it has ended otherwise. */
  orphaned(progress: FeatureProgress, why: string): void;
  /** Every event, after what it means for features was told. */
  read(event: AgentEvent): void;
}

const eventsPerTurn = 256; // then timers run: reading a long log must not look like death

type ReaderContext = Pick<TeamContext, "store" | "clock" | "logger" | "markEvery">;

export class FeatureReader {
  readonly #context: ReaderContext;
  readonly #features: FeatureBoard;
  readonly #ears: FeatureEars;
  readonly #mark: LogMark;
  #position = 0;
  /** Id of the event at the position. */
  #anchor = "";
  #hasBegun = false;

  constructor(context: ReaderContext, features: FeatureBoard, ears: FeatureEars) {
    this.#context = context;
    this.#features = features;
    this.#ears = ears;
    this.#mark = new LogMark(context, "features");
  }

  /** Reads to the end of the log, or until it is told to stop. */
  async read(isOver: () => boolean): Promise<void> {
    const { store, clock } = this.#context;
    if (!this.#hasBegun) await this.#begin();
    let sinceYield = 0;
    for await (const stored of store.read({ after: this.#position })) {
      if (isOver()) return;
      const { changed, orphans } = this.#features.apply(stored);
      for (const progress of changed) this.#ears.changed(progress);
      for (const [progress, why] of orphans) this.#ears.orphaned(progress, why);
      this.#ears.read(stored.event);
      this.#position = stored.position;
      this.#anchor = stored.event.id;
      this.#mark.passed(1);
      sinceYield += 1;
      if (sinceYield < eventsPerTurn) continue;
      sinceYield = 0;
      await clock.yield();
    }
    const open = [...this.#features.all()].map(({ id }) => id);
    if (!this.#mark.isDue(open.length)) return;
    const [position, anchor] = [this.#position, this.#anchor];
    void this.#mark.keep({ position, anchor, open, counts: {} });
  }

  /** What the log says of a feature behind the mark is there twice then, and counts once. */
  async #begin(): Promise<void> {
    const { store } = this.#context;
    const mark = await this.#mark.load();
    for (const id of mark?.open ?? []) {
      const progress = await loadFeature(store, id);
      if (!progress || progress.feature === "completed") continue;
      this.#features.put(progress);
      this.#ears.changed(progress);
      const why = await this.#whyOrphan(progress);
      if (why !== undefined) this.#ears.orphaned(progress, why);
    }
    this.#position = mark?.position ?? 0;
    this.#anchor = mark?.anchor ?? "";
    this.#hasBegun = true;
  }

  /** The end of the task that waits for it may lie before the mark. */
  async #whyOrphan({ parent, feature }: FeatureProgress): Promise<string | undefined> {
    if (parent === undefined || feature === "cancelled") return undefined;
    const state = (await loadTask(this.#context.store, parent))?.state;
    if (!state || !isFinal(state.status) || state.status === "completed") return undefined;
    return `the task that waits for it is ${state.status}`;
  }
}
