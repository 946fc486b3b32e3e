/**
 * Broadcasts within one process: the direct path. The transport shows every event once; one trie
 * routes it to the subscriptions, which take it at once or queue it.
 *
 *   transport.tap ─▶ upcast (once) ─▶ filters of the bus ─▶ routes ─▶ subscription, each
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import { BroadcastRoutes } from "./broadcast-routes.ts";
import type { BroadcastSubscription } from "./broadcast-subscription.ts";
import type { Fairness } from "./fairness.ts";
import { insideHandler } from "./handler-scope.ts";
import type { Middleware } from "./middleware.ts";
import { isInternal } from "./reply.ts";
import type { Transport } from "./transport.ts";

export interface BroadcastsParts {
  readonly transport: Transport;
  readonly middleware: Middleware;
  readonly fairness: Fairness;
  readonly admit: (event: AgentEvent) => AgentEvent;
  /** Told of an event that could not be admitted. */
  readonly onRefused: (event: AgentEvent, error: unknown) => void;
}

// events that wait for a turn of the loop; beyond it publishers wait with them
const maxDeferred = 10_000;

export class Broadcasts {
  readonly #parts: BroadcastsParts;
  readonly #routes = new BroadcastRoutes();
  readonly #full = new Set<BroadcastSubscription>();
  #deferred: AgentEvent[] = [];
  #draining = false;
  #untap: (() => void) | undefined;

  constructor(parts: BroadcastsParts) {
    this.#parts = parts;
  }

  /** Routes to `subscription` from now on, until the returned function is called. */
  add(subscription: BroadcastSubscription): () => void {
    this.#untap ??= this.#parts.transport.tap?.((event) => this.#show(event));
    const remove = this.#routes.add(subscription);
    return () => {
      remove();
      this.#full.delete(subscription);
    };
  }

  close(): void {
    this.#untap?.();
    this.#untap = undefined;
    this.#deferred = [];
  }

  /** Resolves when no event waits for a turn of the loop. */
  async settled(): Promise<void> {
    do await this.#parts.fairness.turn();
    while (this.#draining);
  }

  /** Whether some publisher may have to wait or be refused. */
  get pressed(): boolean {
    return this.#full.size > 0 || this.#deferred.length > maxDeferred;
  }

  /**
   * Told by a subscription whose publishers wait or are refused, when its queue fills up and when
   * it has room again.
   */
  setFull(subscription: BroadcastSubscription, full: boolean): void {
    if (full) this.#full.add(subscription);
    else this.#full.delete(subscription);
  }

  /**
   * Waits until every queue that takes `type` has room.
   * @throws {CadreError} OVERLOADED, when one of them refuses instead
   */
  async waitForRoom(type: string): Promise<void> {
    while (this.#deferred.length > maxDeferred) await this.#parts.fairness.turn();
    for (let full = this.#fullFor(type); full; full = this.#fullFor(type)) {
      if (full.plan.overflow === "reject") throw overloaded(full);
      await full.room();
    }
  }

  /**
   * For a publish from inside a handler, which never waits.
   * @throws {CadreError} OVERLOADED, when a queue is `excess` events beyond its bound, or refuses
   * at its bound
   */
  assertRoom(type: string, excess: number): void {
    for (const subscription of this.#routes.match(type)) {
      if (!this.#full.has(subscription)) continue;
      const { overflow, maxQueued } = subscription.plan;
      const bound = overflow === "reject" ? maxQueued : maxQueued + excess;
      if (subscription.queued >= bound) throw overloaded(subscription);
    }
    if (this.#deferred.length > maxDeferred + excess) {
      throw new CadreError("OVERLOADED", "Too many events wait for a turn of the event loop.", {
        queue: "broadcast",
        size: this.#deferred.length,
      });
    }
  }

  #fullFor(type: string): BroadcastSubscription | undefined {
    if (this.#full.size === 0) return undefined;
    for (const subscription of this.#routes.match(type)) {
      if (this.#full.has(subscription)) return subscription;
    }
    return undefined;
  }

  #show(event: AgentEvent): boolean {
    if (this.#routes.match(event.type).length === 0) return false;
    // Handlers that publish in a circle would otherwise never let a timer fire.
    if (this.#draining || this.#parts.fairness.exhausted) {
      this.#deferred.push(event);
      if (!this.#draining) void this.#drainDeferred();
      return true;
    }
    this.#parts.fairness.spend();
    this.#route(event);
    return true;
  }

  #route(shown: AgentEvent): void {
    const { admit, middleware, onRefused } = this.#parts;
    let event = shown;
    try {
      event = admit(shown);
    } catch (error) {
      onRefused(shown, error);
      return;
    }
    // Entered as the inside of a handler once for all who take the event, not once for each.
    if (middleware.passes(event) || isInternal(event.type)) insideHandler(this.#showToAll, event);
    else this.#routes.keepAway(event.type);
  }

  readonly #showToAll = (event: AgentEvent): void => this.#routes.show(event);

  async #drainDeferred(): Promise<void> {
    const { fairness } = this.#parts;
    this.#draining = true;
    await fairness.turn();
    for (let index = 0; index < this.#deferred.length; index += 1) {
      if (fairness.spend()) {
        this.#deferred.splice(0, index);
        index = 0;
        await fairness.turn();
      }
      const event = this.#deferred[index];
      if (event) this.#route(event);
    }
    this.#deferred = [];
    this.#draining = false;
  }
}

function overloaded(subscription: BroadcastSubscription): CadreError<"OVERLOADED"> {
  const { queued, name } = subscription;
  return new CadreError(
    "OVERLOADED",
    `Subscription "${name}" has ${queued} events waiting and takes no more. Publish ` +
      `slower, or raise its maxQueued or concurrency.`,
    { queue: name, size: queued },
  );
}
