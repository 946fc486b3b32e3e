/**
 * Whom an event is shown to. Subscriptions of one pattern that have a filter are filed by what
 * their filters ask for, so that an event meets only those filters that can match it.
 *
 *   type ─▶ trie ─┬─ few, or no filters ──────────────────────▶ offer: each asks its filter
 *                 └─ many ─┬─ subscription ───────────────────▶ offer
 *                          └─ shelf of a pattern ─▶ look-up ──▶ take: its filter has matched
 *
 * In a look-up a subscription is not touched by what its filter keeps away. How much that was
 * follows from what its shelf was shown since it came, and is worked out when somebody looks.
 */
import type { AgentEvent } from "../core/event.ts";
import { FilterIndex } from "../core/filter-index.ts";
import type { CompiledFilter } from "../core/filter.ts";
import { TopicTrie } from "../core/topic-trie.ts";
import type { BroadcastSubscription } from "./broadcast-subscription.ts";

const few = 8; // subscriptions that are sooner asked one by one than looked up

interface Route {
  readonly subscription: BroadcastSubscription;
  /** What is looked up goes to subscriptions in the order in which those came. */
  readonly number: number;
  /** Set on a shelf: the events that its filter let through. */
  taken: number | undefined;
}

class Shelf {
  readonly #index = new FilterIndex<Route>();
  #shown = 0;

  get isEmpty(): boolean {
    return this.#index.size === 0;
  }

  add(route: Route, filter: CompiledFilter): () => void {
    const { subscription } = route;
    const before = this.#shown;
    route.taken = 0;
    const remove = this.#index.add(filter, route);
    subscription.keptAway = () => this.#shown - before - route.taken!;
    return () => {
      remove();
      subscription.counters.filtered += subscription.keptAway();
      subscription.keptAway = () => 0;
    };
  }

  match(event: AgentEvent): readonly Route[] {
    this.#shown += 1;
    const routes = this.#index.match(event);
    for (const route of routes) route.taken! += 1;
    return routes;
  }

  /** The event came no further than the filters of the bus. */
  keepAway(): void {
    this.#shown += 1;
  }
}

export class BroadcastRoutes {
  /** All, whatever their filters: who can be full, and whether an event has a taker at all. */
  readonly #all = new TopicTrie<BroadcastSubscription>();
  readonly #asked = new TopicTrie<Route | Shelf>();
  readonly #shelves = new Map<string, { readonly shelf: Shelf; readonly remove: () => void }>();
  #added = 0;

  /** Returns the end of it; calling that twice does nothing more. */
  add(subscription: BroadcastSubscription): () => void {
    const { patterns, compiledFilter } = subscription.plan;
    const route: Route = { subscription, number: this.#added++, taken: undefined };
    const removers = patterns.map((pattern) => this.#all.add(pattern, subscription));
    for (const pattern of patterns) {
      // With several patterns it would stand on several shelves, and an event could find it on two.
      const isFiled = compiledFilter !== undefined && patterns.length === 1;
      removers.push(
        isFiled ? this.#file(pattern, route, compiledFilter) : this.#asked.add(pattern, route),
      );
    }
    return () => {
      for (const remove of removers.splice(0)) remove();
    };
  }

  /** Everybody whose patterns match, whatever their filters. */
  match(type: string): readonly BroadcastSubscription[] {
    return this.#all.match(type);
  }

  /** Hands the event to all whose patterns and filters match. */
  show(event: AgentEvent): void {
    const all = this.#all.match(event.type);
    if (all.length <= few || this.#shelves.size === 0) {
      // Asked one by one, each counts for itself what its filter keeps away.
      for (const subscription of all) subscription.offer(event);
      return;
    }
    const found: Route[] = [];
    for (const each of this.#asked.match(event.type)) {
      if (each instanceof Shelf) for (const route of each.match(event)) found.push(route);
      else found.push(each);
    }
    if (found.length > 1) found.sort((left, right) => left.number - right.number);
    for (const { subscription, taken } of found) {
      if (taken === undefined) subscription.offer(event);
      else subscription.take(event);
    }
  }

  /** Counts an event that the filters of the bus kept away from all whose patterns match. */
  keepAway(type: string): void {
    for (const each of this.#asked.match(type)) {
      if (each instanceof Shelf) each.keepAway();
      else each.subscription.counters.filtered += 1;
    }
  }

  #file(pattern: string, route: Route, filter: CompiledFilter): () => void {
    const known = this.#shelves.get(pattern) ?? this.#open(pattern);
    const remove = known.shelf.add(route, filter);
    return () => {
      remove();
      if (!known.shelf.isEmpty) return;
      known.remove();
      this.#shelves.delete(pattern);
    };
  }

  #open(pattern: string): { readonly shelf: Shelf; readonly remove: () => void } {
    const shelf = new Shelf();
    const opened = { shelf, remove: this.#asked.add(pattern, shelf) };
    this.#shelves.set(pattern, opened);
    return opened;
  }
}
