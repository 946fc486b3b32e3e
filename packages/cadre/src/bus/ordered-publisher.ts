import type { AgentEvent } from "../core/event.ts";
import { publishInOrder, type OrderedPublishOptions } from "./ordered-publish.ts";
import type { Publisher, PublisherParts } from "./publisher.ts";
import type { OrderedResult } from "./transport.ts";

/** The bus's way out for finished events that are to keep their order. */
export class OrderedPublisher {
  readonly #publisher: Publisher;
  readonly #parts: Pick<PublisherParts, "transport" | "middleware" | "broadcasts" | "fairness">;

  constructor(
    publisher: Publisher,
    parts: Pick<PublisherParts, "transport" | "middleware" | "broadcasts" | "fairness">,
  ) {
    this.#publisher = publisher;
    this.#parts = parts;
  }

  /** Rejects only when nothing was taken, and nobody says which of several events it is about. */
  async publish(
    events: readonly AgentEvent[],
    options: OrderedPublishOptions,
  ): Promise<readonly OrderedResult[]> {
    const results: OrderedResult[] = [];
    while (results.length < events.length) {
      const left = events.slice(results.length);
      try {
        const answers = this.#goAlone
          ? [await this.#one(left[0]!)]
          : await this.#together(left, options);
        results.push(...answers);
        const isWhole = answers.every((result) => result?.ok);
        if (!isWhole || options.goesOn?.() === false) break;
      } catch (error) {
        if (results.length === 0) throw error;
        break;
      }
    }
    return events.map((_, index) => results[index]);
  }

  /**
   * Middleware is told by `next` what became of its event before the next one begins, a queue that
   * makes its publishers wait lets them in one by one, and a direct path needs no batches.
   */
  get #goAlone(): boolean {
    const { transport, middleware, broadcasts } = this.#parts;
    return middleware.observesPublish || broadcasts.pressed || transport.publishNow !== undefined;
  }

  async #one(event: AgentEvent): Promise<OrderedResult> {
    try {
      this.#publisher.assertOpen();
      await this.#publisher.send(this.#publisher.adopt(event));
      return { ok: true };
    } catch (error) {
      return { ok: false, error };
    }
  }

  /** One result for each, up to an event that is refused before anything is sent. */
  async #together(
    events: readonly AgentEvent[],
    options: OrderedPublishOptions,
  ): Promise<readonly OrderedResult[]> {
    const publisher = this.#publisher;
    const sound: AgentEvent[] = [];
    let refusal: OrderedResult;
    try {
      publisher.assertOpen();
      for (const event of events) {
        const adopted = publisher.adopt(event);
        publisher.assertDelay(adopted);
        sound.push(adopted);
      }
    } catch (error) {
      refusal = { ok: false, error };
    }
    const results = sound.length === 0 ? [] : await this.#send(sound, options);
    const isWhole = results.every((result) => result?.ok);
    return isWhole && refusal ? [...results, refusal] : results;
  }

  async #send(
    events: readonly AgentEvent[],
    options: OrderedPublishOptions,
  ): Promise<readonly OrderedResult[]> {
    const publisher = this.#publisher;
    const { transport, fairness } = this.#parts;
    const answers = await publishInOrder(transport, events, options).catch((error: unknown) => {
      publisher.refused += 1;
      throw error;
    });
    for (const result of answers) {
      if (result?.ok === false) publisher.refused += 1;
      if (!result?.ok) continue;
      publisher.published += 1;
      if (result.unroutable) publisher.unroutable += 1;
      if (fairness.spend()) await fairness.turn();
    }
    return events.map((_, index) => answers[index]);
  }
}
