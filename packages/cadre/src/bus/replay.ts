/**
 * The past: read, replayed to one handler, or published again.
 *
 *   history     what the transport keeps, brought to the current versions
 *   replay      the same, marked with `replayOf`, to the given handler and to nothing else; what
 *               the handler publishes goes nowhere
 *   republish   new events with new ids, the old ones as their causes
 */
import { CadreError } from "../core/errors.ts";
import { withMetadata, type AgentEvent } from "../core/event.ts";
import { compileFilter } from "../core/filter.ts";
import { checkOptions, someFunction, someObject, someSignal } from "../core/options.ts";
import type { Handler, ReplayOptions } from "./bus.ts";
import { RunningDelivery } from "./delivery.ts";
import type { Fairness } from "./fairness.ts";
import { insideHandler } from "./handler-scope.ts";
import type { Publisher } from "./publisher.ts";
import { InvalidEvent } from "./retry-policy.ts";
import type { ReadQuery, Recorded, Transport } from "./transport.ts";

export interface ReplayParts {
  readonly transport: Transport;
  readonly publisher: Publisher;
  readonly fairness: Fairness;
  readonly admit: (event: AgentEvent, takenAt?: number) => AgentEvent;
  /** Whether the asker may see an event. */
  readonly sees: (event: AgentEvent) => boolean;
}

export class Replay {
  readonly #parts: ReplayParts;

  constructor(parts: ReplayParts) {
    this.#parts = parts;
  }

  async *history(query: ReadQuery): AsyncIterable<AgentEvent> {
    for await (const past of this.#records(query)) {
      const event = this.#admitted(past);
      if (event) yield event;
    }
  }

  /** Nothing, for what the asker may not see, and for what was not let in when it came either. */
  #admitted({ event, recordedAt }: PastEvent): AgentEvent | undefined {
    const { admit, sees } = this.#parts;
    try {
      const admitted = admit(event, recordedAt);
      return sees(admitted) ? admitted : undefined;
    } catch (error) {
      if (error instanceof InvalidEvent && error.reason === "rejected") return undefined;
      throw error;
    }
  }

  async replay(
    query: ReadQuery,
    options: ReplayOptions & { readonly to: Handler },
  ): Promise<number> {
    checkOptions("replay", options, { to: someFunction, filter: someObject, signal: someSignal });
    const { publisher, fairness } = this.#parts;
    const { signal } = options;
    const filter = options.filter && compileFilter(options.filter);
    const parts = { publisher, subscription: "replay", holdsBack: false, stages: false };
    let count = 0;
    for await (const past of this.history(query)) {
      signal?.throwIfAborted();
      if (filter && !filter.matches(past)) continue;
      const event = withMetadata(past, { replayOf: past.id });
      const delivery = new RunningDelivery({ ...parts, isolated: true }, event, 1);
      const stop = (): void => delivery.abort(signal?.reason);
      signal?.addEventListener("abort", stop, { once: true });
      try {
        await insideHandler(options.to, event, delivery);
      } finally {
        signal?.removeEventListener("abort", stop);
        delivery.end();
      }
      count += 1;
      if (fairness.spend()) await fairness.turn();
    }
    return count;
  }

  async republish(query: ReadQuery): Promise<number> {
    const { publisher } = this.#parts;
    publisher.assertOpen();
    const made = new Set<string>();
    for await (const record of this.#records(query)) {
      // As it was: what is said again is brought to the current version where it arrives.
      const past = this.#admitted(record) && record.event;
      if (!past || made.has(past.id)) continue; // it has caught up with what is published here
      const event = publisher.create(past.type, past.payload, {
        ...repeated(past),
        source: publisher.sourceOf(past),
      });
      made.add(event.id);
      await publisher.send(event);
    }
    return made.size;
  }

  #records(query: ReadQuery): AsyncIterable<PastEvent> {
    const { transport } = this.#parts;
    if (!transport.read) {
      throw new CadreError(
        "UNSUPPORTED",
        `Transport "${transport.name}" keeps no history. Use one that does, or archive ` +
          `events in a store.`,
        { feature: "history", by: transport.name },
      );
    }
    return events(transport.read(query));
  }
}

interface PastEvent {
  readonly event: AgentEvent;
  readonly recordedAt: number;
}

async function* events(records: AsyncIterable<Recorded>): AsyncIterable<PastEvent> {
  for await (const { event, recordedAt } of records) if (event) yield { event, recordedAt };
}

/**
 * What a repeated event takes over: everything but its id, its source, its times, its reply address
 * and its signature.
 */
function repeated(past: AgentEvent): Parameters<Publisher["create"]>[2] {
  const { metadata } = past;
  return {
    cause: past,
    replayOf: past.id,
    version: metadata.version,
    ...pick(metadata, "target", "key", "priority", "agentId", "extensions"),
  };
}

function pick<Source extends object, Name extends keyof Source>(
  source: Source,
  ...names: readonly Name[]
): { [Each in Name]?: Exclude<Source[Each], undefined> } {
  const picked: { [Each in Name]?: Exclude<Source[Each], undefined> } = {};
  for (const name of names) {
    const value = source[name];
    if (value !== undefined) picked[name] = value as Exclude<Source[Name], undefined>;
  }
  return picked;
}
