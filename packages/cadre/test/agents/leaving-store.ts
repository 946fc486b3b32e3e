/** A store that can be away from one process, as if the network between them were cut. */
import { CadreError, type EventStore } from "cadre";

export function leavingStore(store: EventStore): { readonly store: EventStore; isAway: boolean } {
  const leaving = { store, isAway: false };
  leaving.store = new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name === "close") return async () => {};
      if (typeof value !== "function") return value;
      const call = value.bind(target) as (...all: unknown[]) => unknown;
      return (...all: unknown[]) => {
        if (!leaving.isAway || name === "watch") return call(...all);
        throw new CadreError("STORE_UNAVAILABLE", "away", { path: "", reason: "test" });
      };
    },
  });
  return leaving;
}
