/**
 * What the end of one task means for others: those that depend on it, and its children. An index
 * beside the board, so that an end looks at its relatives only and not at every open task.
 */
import type { BoardEntry } from "./task-board.ts";
import { isFinal } from "./task-fold.ts";

export class TaskRelatives {
  readonly #dependents = new Map<string, Set<string>>();
  readonly #children = new Map<string, Set<string>>();
  readonly #waitingDue = new Set<string>();
  readonly #childrenDue = new Set<string>();
  readonly #known = new Set<string>();

  /**
   * Takes in a task as the board shows it now. Returns whether there is anything to look at since.
   */
  note({ state }: BoardEntry): boolean {
    const { id, parent, dependsOn } = state;
    if (isFinal(state.status)) {
      this.#forget(state);
      move(this.#dependents, id, this.#waitingDue);
      if (state.status === "cancelled") move(this.#children, id, this.#childrenDue);
      else this.#children.delete(id);
    } else if (!this.#known.has(id)) {
      this.#known.add(id);
      if (state.status === "waiting") {
        for (const needed of dependsOn) add(this.#dependents, needed, id);
        this.#waitingDue.add(id);
      }
      if (parent !== undefined) {
        add(this.#children, parent, id);
        // The parent may have been cancelled while the child was made.
        this.#childrenDue.add(id);
      }
    }
    return this.#waitingDue.size + this.#childrenDue.size > 0;
  }

  /** Ids of waiting tasks whose dependencies must be looked at. Each is given once. */
  takeWaiting(): readonly string[] {
    return take(this.#waitingDue);
  }

  /** Ids of tasks whose parent must be looked at. Each is given once. */
  takeChildren(): readonly string[] {
    return take(this.#childrenDue);
  }

  /** What was taken could not be looked at: it is given again. */
  putBack(waiting: readonly string[], children: readonly string[]): void {
    for (const id of waiting) this.#waitingDue.add(id);
    for (const id of children) this.#childrenDue.add(id);
  }

  #forget({ id, parent, dependsOn }: BoardEntry["state"]): void {
    this.#known.delete(id);
    this.#waitingDue.delete(id);
    this.#childrenDue.delete(id);
    for (const needed of dependsOn) remove(this.#dependents, needed, id);
    if (parent !== undefined) remove(this.#children, parent, id);
  }
}

function add(index: Map<string, Set<string>>, key: string, id: string): void {
  const same = index.get(key);
  if (same) same.add(id);
  else index.set(key, new Set([id]));
}

function remove(index: Map<string, Set<string>>, key: string, id: string): void {
  const same = index.get(key);
  if (same?.delete(id) && same.size === 0) index.delete(key);
}

function move(index: Map<string, Set<string>>, key: string, to: Set<string>): void {
  for (const id of index.get(key) ?? []) to.add(id);
  index.delete(key);
}

function take(ids: Set<string>): readonly string[] {
  const taken = [...ids];
  ids.clear();
  return taken;
}
