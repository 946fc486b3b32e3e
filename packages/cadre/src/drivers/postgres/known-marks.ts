import type { Claimed } from "./claim.ts";

const mostKept = 4_096; // of one group; those that nobody asks for are forgotten

/** Whether deliveries' events are marked as handled, as their claims saw it, until it is asked. */
export class KnownMarks {
  readonly #groups = new Map<string, Map<string, boolean>>();

  add(group: string, claimed: readonly Claimed[]): void {
    if (claimed.length === 0) return;
    let marks = this.#groups.get(group);
    if (!marks || marks.size + claimed.length > mostKept) {
      marks = new Map();
      this.#groups.set(group, marks);
    }
    for (const { recorded, isMarked } of claimed) {
      if (recorded.event && isMarked !== undefined) marks.set(recorded.event.id, isMarked);
    }
  }

  /** Those that are marked; undefined when it is not known of all. */
  take(group: string, eventIds: readonly string[]): ReadonlySet<string> | undefined {
    const marks = this.#groups.get(group);
    if (!marks) return undefined;
    const marked = new Set<string>();
    for (const id of eventIds) {
      const isMarked = marks.get(id);
      if (isMarked === undefined) return undefined;
      if (isMarked) marked.add(id);
    }
    for (const id of eventIds) marks.delete(id);
    return marked;
  }
}
