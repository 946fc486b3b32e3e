import type { Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import type { MemoryGroup, WaitingPublish } from "./memory-group.ts";
import type { Outgoing, PublishResult } from "./transport.ts";

/** The item's result, or the group whose room it must wait for. */
export type Admit = (outgoing: Outgoing, publishing: Publishing) => PublishResult | MemoryGroup;

/**
 * One call of `publish` on its way: its items go one after the other, and all wait behind one that
 * waits.
 */
export class Publishing implements WaitingPublish {
  readonly #batch: readonly Outgoing[];
  readonly #results: PublishResult[] = [];
  readonly #clock: Clock;
  readonly #admit: Admit;
  #onEnd: (() => void) | undefined;
  /** Wall time at which the carrier takes the items. */
  now = 0;
  /** The same on the monotonic scale. */
  since = 0;
  /**
   * The group that has just made room for the first item that is left: it needs not queue again
   * there.
   */
  turn: MemoryGroup | undefined;

  constructor(batch: readonly Outgoing[], clock: Clock, admit: Admit) {
    this.#batch = batch;
    this.#clock = clock;
    this.#admit = admit;
  }

  /** Whether items are left that wait for room. */
  get waits(): boolean {
    return this.#results.length < this.#batch.length;
  }

  /** Resolves when no item waits any more; until then `waiting` has it. */
  start(waiting: Set<Publishing>): Promise<readonly PublishResult[]> {
    this.#proceed();
    if (!this.waits) return Promise.resolve(this.#results);
    waiting.add(this);
    return new Promise((resolve) => {
      this.#onEnd = () => {
        waiting.delete(this);
        resolve(this.#results);
      };
    });
  }

  resume(group: MemoryGroup): void {
    this.turn = group;
    this.#proceed(group);
    if (!this.waits) this.#onEnd?.();
  }

  /** Refuses what is left. */
  cancel(): void {
    const message = "The connection was closed while the event waited for room. Publish it again.";
    while (this.waits) {
      const error = new CadreError("CLOSED", message, { what: "transport" });
      this.#results.push({ ok: false, error });
    }
    this.#onEnd?.();
  }

  #proceed(resumedBy?: MemoryGroup): void {
    this.now = this.#clock.now();
    this.since = this.#clock.monotonic();
    while (this.waits) {
      const answer = this.#admit(this.#batch[this.#results.length]!, this);
      if (!("ok" in answer)) {
        // Who has waited there already stays in front with the rest of its batch.
        answer.waitForRoom(this, answer === resumedBy);
        return;
      }
      this.turn = undefined;
      this.#results.push(answer);
    }
  }
}
