/**
 * Appends to one task's stream for the owner of one epoch, one append after the other.
 *
 * A conflict is no failure by itself: somebody may have asked for the task's cancellation. The
 * writer reads the stream again and goes on if the task is still its own; if it is not, nothing was
 * written and the owner is fenced off (LEASE_LOST). A store in trouble is tried again for as long
 * as a lease can last: an attempt is not lost to a lost answer.
 */
import type { Commit } from "../core/commit.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { throughTrouble } from "./passing-trouble.ts";
import { isSealed } from "./proposals/debate-tasks.ts";
import { loadTask, type BoardEntry } from "./task-board.ts";
import { applyTask, isOwned, taskStream } from "./task-fold.ts";
import type { TaskState } from "./task.ts";
import type { TeamContext } from "./team-context.ts";

export class TaskWriter {
  readonly #context: Pick<TeamContext, "store" | "clock" | "leaseMs">;
  readonly #epoch: number;
  readonly #incarnation: string;
  #entry: BoardEntry;
  #queue: Promise<unknown> = Promise.resolve();
  #isLost = false;
  #hurries = false;

  constructor(context: Pick<TeamContext, "store" | "clock" | "leaseMs">, entry: BoardEntry) {
    this.#context = context;
    this.#entry = entry;
    this.#epoch = entry.state.epoch;
    this.#incarnation = entry.state.owner?.incarnation ?? "";
  }

  get state(): TaskState {
    return this.#entry.state;
  }

  get entry(): BoardEntry {
    return this.#entry;
  }

  /** Whether an append found the task in other hands, or at its end. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** From now on a refusal of the store is final: there is no time to try again. */
  hurry(): void {
    this.#hurries = true;
  }

  /**
   * Appends `events` and whatever else belongs to the same commit.
   *
   * @throws {CadreError} LEASE_LOST, when the task belongs to another epoch or is final
   */
  append(events: readonly AgentEvent[], rest: Commit = {}): Promise<TaskState> {
    const { clock, leaseMs } = this.#context;
    const write = (): Promise<TaskState> => this.#append(events, rest);
    const result = this.#queue.then(() =>
      throughTrouble(clock, leaseMs, write, () => !this.#hurries),
    );
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #append(events: readonly AgentEvent[], rest: Commit): Promise<TaskState> {
    const stream = taskStream(this.#entry.state.id);
    // What this writer has ended itself, a handler that was left behind can't go on with.
    this.#assertMine(this.#entry);
    for (;;) {
      const { version } = this.#entry;
      const own = { stream, expectedVersion: version, events };
      const sealed = isSealed(this.#entry.state) ? { private: true } : {};
      const appends = [{ ...own, ...sealed }, ...(rest.appends ?? [])];
      try {
        const { versions } = await this.#context.store.commit({ ...rest, appends });
        let state = this.#entry.state;
        for (const event of events) state = applyTask(state, event) ?? state;
        const last = events.at(-1) ?? this.#entry.last;
        this.#entry = { state, version: versions[0] ?? version + events.length, last };
        return state;
      } catch (error) {
        if (!isCadreError(error, "VERSION_CONFLICT") || error.details.stream !== stream)
          throw error;
      }
      const entry = await loadTask(this.#context.store, this.#entry.state.id);
      if (entry) this.#assertMine(entry);
      this.#entry = entry ?? this.#entry;
    }
  }

  #assertMine({ state }: BoardEntry): void {
    const mine = state.epoch === this.#epoch && state.owner?.incarnation === this.#incarnation;
    if (mine && isOwned(state.status)) return;
    this.#isLost = true;
    throw new CadreError(
      "LEASE_LOST",
      `Task ${state.id} is ${state.status} at epoch ${state.epoch} by now; ` +
        `epoch ${this.#epoch} can write nothing to it.`,
      { what: `task ${state.id}` },
    );
  }
}
