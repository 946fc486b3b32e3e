/** A store whose process is gone from one write on: nothing it asks for is answered any more. */
import type { Commit, EventStore } from "cadre";
import { changed } from "../changed.ts";

export interface Death {
  /** The how-manieth of the writes that count it does not survive. */
  readonly at: number;
  readonly when: "before" | "after";
}

/** Whether a commit writes to a stream, or to a slot, of such a name. */
export function writesTo(name: RegExp): (work: Commit) => boolean {
  return ({ appends = [], slots = [] }) =>
    appends.some(({ stream }) => name.test(stream)) || slots.some((slot) => name.test(slot.name));
}

export function dyingStore(
  store: EventStore,
  death: Death | undefined,
  counts: (work: Commit) => boolean,
): { readonly mortal: EventStore; writes(): number; isDead(): boolean } {
  let isDead = false;
  let writes = 0;
  const never = new Promise<never>(() => {});
  const commit: EventStore["commit"] = async (work) => {
    if (isDead) return never;
    if (counts(work)) {
      writes += 1;
      isDead = writes === death?.at;
    }
    if (isDead && death?.when === "before") return never;
    const result = await store.commit(work);
    return isDead ? never : result;
  };
  return { mortal: changed(store, { commit }), writes: () => writes, isDead: () => isDead };
}
