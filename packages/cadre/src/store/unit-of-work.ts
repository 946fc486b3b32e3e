import type { DeliveredWork, UnitOfWork } from "../core/commit.ts";
import { isCadreError } from "../core/errors.ts";
import type { EventStore } from "./event-store.ts";

// a batch of deliveries is far smaller, and SQL bounds the variables of a statement
const maxIdsPerQuery = 500;

/**
 * A unit of work for a broker and a store that are two systems: effects, inbox mark and held-back
 * events commit together in the store; the bus settles the delivery afterwards, and the relay
 * publishes.
 *
 * The mark is what makes the effects happen once: of two owners of one delivery, the second finds
 * it and writes nothing.
 */
export function storeUnitOfWork(store: EventStore): UnitOfWork<unknown> {
  return {
    settles: false,
    async commit({ commit }: DeliveredWork<unknown>): Promise<"ok" | "lost"> {
      try {
        await store.commit(commit);
        return "ok";
      } catch (error) {
        if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
        const handled = await store.marked(commit.inbox ?? []);
        if (handled.length > 0) return "lost";
        throw error;
      }
    },
    async handled(subscription: string, eventIds: readonly string[]): Promise<ReadonlySet<string>> {
      const handled = new Set<string>();
      for (let start = 0; start < eventIds.length; start += maxIdsPerQuery) {
        const ids = eventIds.slice(start, start + maxIdsPerQuery);
        const marks = await store.marked(ids.map((eventId) => ({ subscription, eventId })));
        for (const { eventId } of marks) handled.add(eventId);
      }
      return handled;
    },
  };
}
