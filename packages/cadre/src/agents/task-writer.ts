/**
 * Appends to one task's stream for the owner of one epoch, one append after the other.
 *
 * A conflict is no failure by itself: somebody may have asked for the task's cancellation. The
 * writer reads the stream again and goes on if the task is still its own; if it is not, nothing was
 * written and the owner is fenced off (LEASE_LOST).
 */
import type { Commit } from "../core/commit.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { loadTask, type BoardEntry } from "./task-board.ts";
import { applyTask, isOwned, taskStream } from "./task-fold.ts";
import type { TaskState } from "./task.ts";
import type { TeamContext } from "./team-context.ts";

export class TaskWriter {
  readonly #store: TeamContext["store"];
  readonly #epoch: number;
  readonly #incarnation: string;
  #entry: BoardEntry;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(store: TeamContext["store"], entry: BoardEntry) {
    this.#store = store;
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

  /**
   * Appends `events` and whatever else belongs to the same commit.
   *
   * @throws {CadreError} LEASE_LOST, when the task belongs to another epoch or is final
   */
  append(events: readonly AgentEvent[], rest: Commit = {}): Promise<TaskState> {
    const result = this.#queue.then(() => this.#append(events, rest));
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #append(events: readonly AgentEvent[], rest: Commit): Promise<TaskState> {
    const stream = taskStream(this.#entry.state.id);
    for (;;) {
      const { version } = this.#entry;
      const appends = [{ stream, expectedVersion: version, events }, ...(rest.appends ?? [])];
      try {
        await this.#store.commit({ ...rest, appends });
      } catch (error) {
        if (!isCadreError(error, "VERSION_CONFLICT") || error.details.stream !== stream)
          throw error;
        await this.#readAgain();
        continue;
      }
      let state = this.#entry.state;
      for (const event of events) state = applyTask(state, event) ?? state;
      const last = events.at(-1) ?? this.#entry.last;
      this.#entry = { state, version: version + events.length, last };
      return state;
    }
  }

  async #readAgain(): Promise<void> {
    const entry = await loadTask(this.#store, this.#entry.state.id);
    const { state } = entry ?? this.#entry;
    const mine = state.epoch === this.#epoch && state.owner?.incarnation === this.#incarnation;
    if (!entry || !mine || !isOwned(state.status)) {
      throw new CadreError(
        "LEASE_LOST",
        `Task ${state.id} is ${state.status} at epoch ${state.epoch} by now; ` +
          `epoch ${this.#epoch} can write nothing to it.`,
        { what: `task ${state.id}` },
      );
    }
    this.#entry = entry;
  }
}
