/**
 * Tells liveness and progress apart: an agent that beats, and whose handler gets nowhere, is found.
 *
 * A handler makes progress with whatever it asks of its context: a step, a report, an event, a
 * question, `breathe`. While it waits for something by its context it is not stuck.
 */
import type { Clock } from "../../core/clock.ts";

/** One handler that runs. */
export interface ProgressMark {
  touch(): void;
  end(): void;
}

/** What makes no progress. */
export interface StuckWork {
  readonly agent: string;
  /** In words: `task 0199…`, `custom.said`. */
  readonly what: string;
  readonly taskId?: string;
  readonly silentMs: number;
}

interface Handling {
  readonly work: Omit<StuckWork, "silentMs">;
  readonly isWaiting: () => boolean;
  touchedAt: number;
  told: boolean;
}

export class ProgressWatch {
  readonly #clock: Clock;
  readonly #running = new Set<Handling>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A handler begins. */
  begin(work: Omit<StuckWork, "silentMs">, isWaiting: () => boolean = () => false): ProgressMark {
    const now = (): number => this.#clock.monotonic();
    const handling: Handling = { work, isWaiting, touchedAt: now(), told: false };
    this.#running.add(handling);
    return {
      touch: () => void (handling.touchedAt = now()),
      end: () => void this.#running.delete(handling),
    };
  }

  /** What has got stuck since the last look, and the agents of which something is stuck now. */
  look(stuckAfterMs: (agent: string) => number): {
    readonly fresh: readonly StuckWork[];
    readonly stuck: ReadonlyMap<string, StuckWork>;
  } {
    const now = this.#clock.monotonic();
    const fresh: StuckWork[] = [];
    const stuck = new Map<string, StuckWork>();
    for (const handling of this.#running) {
      if (handling.isWaiting()) handling.touchedAt = now;
      const silentMs = now - handling.touchedAt;
      if (silentMs < stuckAfterMs(handling.work.agent)) {
        handling.told = false;
        continue;
      }
      const work = { ...handling.work, silentMs };
      stuck.set(handling.work.agent, work);
      if (!handling.told) fresh.push(work);
      handling.told = true;
    }
    return { fresh, stuck };
  }
}
