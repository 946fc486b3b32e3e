/** A carrier that refuses, loses answers and dies, and keeps what it took. */
import { CadreError, type AgentEvent, type Capabilities, type Random, type Transport } from "cadre";
import type { OrderedResult, Outgoing, PublishResult } from "cadre";

export interface Trouble {
  /** How likely one event is refused, 0 to 1. */
  readonly refuse: number;
  /** How likely one event is taken and its answer lost. */
  readonly loseAnswer: number;
  /** How likely a call fails as a whole, after any number of its events was taken. */
  readonly fail: number;
}

export const calm: Trouble = { refuse: 0, loseAnswer: 0, fail: 0 };

export type Carrier = Pick<Transport, "publish"> &
  Partial<Pick<Transport, "publishInOrder" | "capabilities">>;

export class UnsureCarrier {
  /** What lies on the carrier, by its order. */
  readonly taken: AgentEvent[] = [];
  readonly calls: number[] = [];
  answersLost = 0;
  trouble: Trouble = calm;
  /** Events until the process dies in the middle of a call. */
  killIn = Infinity;
  onKill: () => void = () => {};
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The carrier as one of its kind; one that goes on behind a refused event is broken. */
  as(order: Capabilities["order"], isOrdering: boolean, goesOn = false): Carrier {
    const capabilities = { order } as Capabilities; // all that is looked at
    return {
      capabilities,
      publish: (batch) => this.#publish(batch),
      ...(isOrdering && {
        publishInOrder: (events) =>
          goesOn ? this.#call(events, () => false) : this.#publishInOrder(events, order),
      }),
    };
  }

  /** Each event for itself: what is behind a refused one is taken all the same. */
  #publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    return this.#call(
      batch.map(({ event }) => event),
      () => false,
    ) as Promise<PublishResult[]>;
  }

  #publishInOrder(
    events: readonly AgentEvent[],
    order: Capabilities["order"],
  ): Promise<readonly OrderedResult[]> {
    return this.#call(events, (refused, event) =>
      order === "total"
        ? refused.length > 0
        : refused.some((each) => laneOf(each) === laneOf(event)),
    );
  }

  async #call(
    events: readonly AgentEvent[],
    isStopped: (refused: readonly AgentEvent[], event: AgentEvent) => boolean,
  ): Promise<readonly OrderedResult[]> {
    this.calls.push(events.length);
    await Promise.resolve();
    const { refuse, loseAnswer, fail } = this.trouble;
    const failsAt = this.#hits(fail) ? this.#random.integer(events.length + 1) : Infinity;
    const refused: AgentEvent[] = [];
    const results: OrderedResult[] = [];
    for (const [index, event] of events.entries()) {
      if (index === failsAt) break;
      if (isStopped(refused, event)) {
        results.push(undefined);
      } else if (event.type === "too.large") {
        refused.push(event);
        results.push({
          ok: false,
          error: new CadreError("TOO_LARGE", "large", { bytes: 2, maxBytes: 1 }),
        });
      } else if (this.#hits(refuse)) {
        refused.push(event);
        results.push({ ok: false, error: gone() });
      } else {
        await this.#take(event);
        const isLost = this.#hits(loseAnswer);
        if (isLost) {
          this.answersLost += 1;
          refused.push(event);
        }
        results.push(isLost ? { ok: false, error: gone() } : { ok: true });
      }
    }
    if (failsAt > events.length) return results;
    this.answersLost += results.filter((result) => result?.ok).length;
    throw gone();
  }

  async #take(event: AgentEvent): Promise<void> {
    this.killIn -= 1;
    if (this.killIn < 0) {
      this.onKill();
      await new Promise(() => {}); // nobody hears of it any more
    }
    this.taken.push(event);
  }

  #hits(probability: number): boolean {
    return probability > 0 && this.#random.next() < probability;
  }
}

/** What a carrier that keeps order by key keeps it in. */
export function laneOf({ id, metadata }: AgentEvent): string {
  return metadata.key ?? id;
}

function gone(): CadreError {
  return new CadreError("UNREACHABLE", "gone", { url: "carrier:", tried: 1 });
}
