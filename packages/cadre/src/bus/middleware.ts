/**
 * Middleware around publishing and around handling, and filters that hold for the whole bus. The
 * first that was added is the outermost. Changing the lists never changes a run that has begun.
 */
import { compileFilter, type FilterDocument } from "../core/filter.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Delivery, HandleMiddleware, PublishMiddleware } from "./bus.ts";

type CompiledFilter = ReturnType<typeof compileFilter>;

/** A list that is copied when it changes, so that whoever walks it sees one state. */
class Chain<Item> {
  items: readonly Item[] = [];

  add(item: Item): () => void {
    const entry = { item };
    this.#entries.push(entry);
    this.items = this.#entries.map((each) => each.item);
    return () => {
      const index = this.#entries.indexOf(entry);
      if (index < 0) return;
      this.#entries.splice(index, 1);
      this.items = this.#entries.map((each) => each.item);
    };
  }

  readonly #entries: { readonly item: Item }[] = [];
}

export class Middleware {
  readonly #publish = new Chain<PublishMiddleware>();
  readonly #handle = new Chain<HandleMiddleware>();
  readonly #filters = new Chain<CompiledFilter>();

  addPublish(middleware: PublishMiddleware): () => void {
    return this.#publish.add(middleware);
  }

  addHandle(middleware: HandleMiddleware): () => void {
    return this.#handle.add(middleware);
  }

  addFilter(filter: FilterDocument): () => void {
    return this.#filters.add(compileFilter(filter));
  }

  /** Whether every filter of the bus lets the event through. */
  passes(event: AgentEvent): boolean {
    for (const filter of this.#filters.items) if (!filter.matches(event)) return false;
    return true;
  }

  get observesPublish(): boolean {
    return this.#publish.items.length > 0;
  }

  get observesHandling(): boolean {
    return this.#handle.items.length > 0;
  }

  /**
   * Runs the publish chain around `send`, which gets the event as the innermost middleware passes
   * it on.
   */
  async aroundPublish(
    event: AgentEvent,
    send: (event: AgentEvent) => Promise<void>,
  ): Promise<void> {
    const chain = this.#publish.items;
    const step = (index: number, current: AgentEvent): Promise<void> => {
      const middleware = chain[index];
      return middleware
        ? middleware(current, (changed) => step(index + 1, changed))
        : send(current);
    };
    await step(0, event);
  }

  async aroundHandle(event: AgentEvent, delivery: Delivery, handle: () => unknown): Promise<void> {
    const chain = this.#handle.items;
    const step = async (index: number): Promise<void> => {
      const middleware = chain[index];
      if (middleware) await middleware(event, delivery, () => step(index + 1));
      else await handle();
    };
    await step(0);
  }
}
