import type { OrderedResult, Outgoing, PublishResult } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { BatchDesk } from "./batch-desk.ts";
import { directScript, orderedPublishScript, publishScript, trimScript } from "./lua-publish.ts";
import { forCaller } from "./redis-error.ts";
import type { Script } from "./script.ts";
import type { Argument, Session } from "./session.ts";
import { domainOf } from "./topics.ts";
import type { Wake } from "./wake.ts";
import { encodeEvent, placeArguments, toPosition } from "./wire.ts";

const mostTogether = 64; // events in one script: with those of the largest size still well bounded
const trimEvery = 256; // publishes; what is over the bound meanwhile is little beside a stream

export class Publishing {
  readonly #session: Session;
  readonly #wake: Wake;
  readonly #desk: BatchDesk<readonly Argument[], string>;
  #untrimmed = 0;
  #trimming = false;

  constructor(session: Session, wake: Wake) {
    this.#session = session;
    this.#wake = wake;
    const { clock } = session.settings;
    this.#desk = new BatchDesk({
      clock,
      most: mostTogether,
      send: (items) => this.#send(items, publishScript),
    });
  }

  publish(batch: readonly Outgoing[]): Promise<readonly PublishResult[]> {
    return Promise.all(batch.map((item) => this.#publishOne(item)));
  }

  /** In scripts one behind the other: each takes what stands before its first refused event. */
  async publishInOrder(events: readonly AgentEvent[]): Promise<readonly OrderedResult[]> {
    const results: OrderedResult[] = [];
    for (let at = 0; results.length === at && at < events.length; at += mostTogether) {
      results.push(...(await this.#publishSome(events.slice(at, at + mostTogether))));
      if (results.at(-1)?.ok === false) break;
    }
    return events.map((_, index) => results[index]);
  }

  /** One result for each, up to the first that is refused. */
  async #publishSome(events: readonly AgentEvent[]): Promise<readonly PublishResult[]> {
    const { wire, maxBytes } = this.#session.settings;
    const items: (readonly Argument[])[] = [];
    let refusal: PublishResult | undefined;
    try {
      for (const event of events) {
        items.push(this.#argumentsOf(event, encodeEvent(event, wire, maxBytes)));
      }
    } catch (error) {
      refusal = { ok: false, error };
    }
    try {
      const ids = items.length === 0 ? [] : await this.#send(items, orderedPublishScript);
      const results = ids.map((id) => this.#resultOf(id));
      return refusal && results.every(({ ok }) => ok) ? [...results, refusal] : results;
    } catch (error) {
      return [{ ok: false, error }];
    }
  }

  async #publishOne({ event, to }: Outgoing): Promise<PublishResult> {
    try {
      const { wire, maxBytes } = this.#session.settings;
      const data = encodeEvent(event, wire, maxBytes);
      const id = to
        ? await this.#direct(event, data, to)
        : await this.#desk.ask(this.#argumentsOf(event, data));
      return this.#resultOf(id);
    } catch (error) {
      return { ok: false, error };
    }
  }

  #resultOf(id: string): PublishResult {
    if (id.startsWith("!")) return { ok: false, error: this.#failure(id.slice(1)) };
    this.#trimSometimes();
    return { ok: true, position: toPosition(id) };
  }

  #argumentsOf(event: AgentEvent, data: Buffer): readonly Argument[] {
    const domain = domainOf(event.type, this.#session.settings);
    return [event.id, domain, event.type, data, ...placeArguments(event)];
  }

  async #send(items: readonly (readonly Argument[])[], script: Script): Promise<readonly string[]> {
    const { dedupeMs } = this.#session.settings;
    const what = items.length === 1 ? "a publish" : `${items.length} publishes`;
    // Members on this connection need no word from the server: what they ask goes out with it.
    const answers = await this.#session.together(() => {
      const sent = this.#session.run(what, script, [dedupeMs, ...items.flat()]);
      for (const domain of new Set(items.map((item) => item[1]))) this.#wake.tellOf(String(domain));
      return sent;
    });
    return (answers as Buffer[]).map(String);
  }

  /** Of one event, beside others that were kept. */
  #failure(text: string): CadreError {
    const { url, connected } = this.#session;
    return forCaller(new Error(text), { url, what: "a publish", connected });
  }

  async #direct(
    event: AgentEvent,
    data: Buffer,
    { group, attempt = 1 }: NonNullable<Outgoing["to"]>,
  ): Promise<string> {
    const args = [group, ...this.#argumentsOf(event, data), attempt];
    const answer = String(await this.#session.run("a publish to a group", directScript, args));
    if (answer !== "none") return answer;
    const message =
      `There is no group "${group}" at ${this.#session.url}. ` +
      "Subscribe with it first, or fix its name.";
    throw new CadreError("NOT_FOUND", message, { what: "group", id: group });
  }

  #trimSometimes(): void {
    const { maxEvents, maxAgeMs, clock, logger } = this.#session.settings;
    if (maxEvents === 0 && maxAgeMs === 0) return;
    this.#untrimmed += 1;
    if (this.#untrimmed < trimEvery || this.#trimming) return;
    this.#untrimmed = 0;
    this.#trimming = true;
    const oldest = maxAgeMs === 0 ? 0 : Math.max(0, Math.floor(clock.now() - maxAgeMs));
    this.#session
      .run("the trimming of streams", trimScript, [maxEvents, oldest])
      .catch((error: unknown) => logger.warn("Old events were not trimmed yet.", { error }))
      .finally(() => (this.#trimming = false));
  }
}
