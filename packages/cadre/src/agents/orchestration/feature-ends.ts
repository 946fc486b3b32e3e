/**
 * Who waits for the end of features: one reader of their streams, however many wait.
 */
import { featureStream, featureStreamPrefix } from "../feature-fold.ts";
import { throughTrouble } from "../passing-trouble.ts";
import type { TeamContext } from "../team-context.ts";

/**
 * Is called once when whatever comes later will be told, so that it can look for itself; then for
 * each event that may end the feature; or with why nobody will ever know.
 */
export interface FeatureListener {
  look(): void;
  ended(): void;
  failed(error: unknown): void;
}

const endings: ReadonlySet<string> = new Set([
  "feature.completed",
  "feature.blocked",
  "feature.cancelled",
]);

export const mayEnd = (type: string): boolean => endings.has(type);

export class FeatureEnds {
  readonly #context: Pick<TeamContext, "store" | "clock">;
  readonly #waiting = new Map<string, Set<FeatureListener>>();
  #fresh: FeatureListener[] = [];
  #position: number | undefined;
  #unwatch: (() => void) | undefined;
  #reading = false;
  #again = false;

  constructor(context: Pick<TeamContext, "store" | "clock">) {
    this.#context = context;
  }

  watch(id: string, listener: FeatureListener): () => void {
    const stream = featureStream(id);
    let same = this.#waiting.get(stream);
    if (!same) this.#waiting.set(stream, (same = new Set()));
    same.add(listener);
    this.#fresh.push(listener);
    this.#unwatch ??= this.#context.store.watch(() => this.#wake());
    this.#wake();
    return () => {
      same.delete(listener);
      if (same.size === 0 && this.#waiting.get(stream) === same) this.#waiting.delete(stream);
      if (this.#waiting.size > 0) return;
      this.#unwatch?.();
      this.#unwatch = undefined;
      this.#position = undefined;
    };
  }

  #wake(): void {
    this.#again = true;
    if (this.#reading) return;
    this.#reading = true;
    this.#readAll().catch((error: unknown) => {
      for (const same of [...this.#waiting.values()]) {
        for (const listener of [...same]) listener.failed(error);
      }
    });
  }

  async #readAll(): Promise<void> {
    try {
      while (this.#again && this.#waiting.size > 0) {
        this.#again = false;
        // A store in trouble is no answer: the question is asked again while somebody waits.
        await throughTrouble(
          this.#context.clock,
          Infinity,
          () => this.#read(),
          () => this.#waiting.size > 0,
        );
      }
    } finally {
      this.#reading = false;
    }
  }

  async #read(): Promise<void> {
    const { store } = this.#context;
    this.#position ??= await store.head();
    for (const listener of this.#fresh.splice(0)) listener.look();
    const query = { streamPrefix: featureStreamPrefix, after: this.#position };
    for await (const { event, stream = "", position } of store.read(query)) {
      this.#position = position;
      if (!mayEnd(event.type)) continue;
      for (const listener of [...(this.#waiting.get(stream) ?? [])]) listener.ended();
    }
  }
}
