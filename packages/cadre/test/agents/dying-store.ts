/** A store whose process is gone from one write on: nothing it asks for is answered any more. */
import type { EventStore } from "cadre";

export interface Death {
  /** The how-manieth write of tasks and features it does not survive. */
  readonly at: number;
  readonly when: "before" | "after";
}

export function dyingStore(
  store: EventStore,
  death: Death | undefined,
): { readonly mortal: EventStore; writes(): number } {
  let isDead = false;
  let writes = 0;
  const never = new Promise<never>(() => {});
  const commit: EventStore["commit"] = async (work) => {
    if (isDead) return never;
    const isWork = work.appends?.some(({ stream }) => /^(task|feature)\//.test(stream)) ?? false;
    if (isWork) writes += 1;
    isDead = isWork && writes === death?.at;
    if (isDead && death?.when === "before") return never;
    const result = await store.commit(work);
    return isDead ? never : result;
  };
  const mortal = new Proxy(store, {
    get(target, name) {
      const value: unknown = name === "commit" ? commit : Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  return { mortal, writes: () => writes };
}
