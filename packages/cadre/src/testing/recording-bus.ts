import type { Bus } from "../bus/bus.ts";
import type { AgentEvent } from "../core/event.ts";
import { compilePattern } from "../core/pattern.ts";

/** What an expected event must be: a part of its payload, compared deeply, or a predicate. */
export type EventMatch = Readonly<Record<string, unknown>> | ((event: AgentEvent) => boolean);

/** What a bus has published since the recording began. */
export interface BusRecording {
  /**
   * Events whose publish has succeeded, in the order in which they were sent; of one pattern where
   * one is given.
   */
  published(pattern?: string): readonly AgentEvent[];
  /**
   * The first published event of `pattern` that fits `match`.
   * @throws {Error} listing what was published, when there is none
   */
  expectPublished(pattern: string, match?: EventMatch): AgentEvent;
  /** @throws {Error} listing the events, when one of `pattern` that fits `match` was published */
  expectNotPublished(pattern: string, match?: EventMatch): void;
  /** Forgets what was recorded. */
  clear(): void;
  /** Ends the recording; what was recorded stays. */
  stop(): void;
}

/** Records what `bus` publishes, from now on, also from inside its handlers. */
export function recordingBus(bus: Pick<Bus, "usePublish">): BusRecording {
  let calls: { readonly event: AgentEvent; succeeded: boolean }[] = [];
  const stop = bus.usePublish(async (event, next) => {
    // Noted before: a handler that publishes in turn comes after what it handles.
    const call = { event, succeeded: false };
    calls.push(call);
    await next(event);
    call.succeeded = true;
  });
  const published = (): AgentEvent[] =>
    calls.flatMap(({ event, succeeded }) => (succeeded ? [event] : []));
  const find = (pattern: string, match: EventMatch | undefined): AgentEvent | undefined => {
    const isType = compilePattern(pattern);
    return published().find((event) => isType(event.type) && fits(event, match));
  };
  const list = (): string =>
    published()
      .map((event) => `\n  ${event.type} ${JSON.stringify(event.payload)}`)
      .join("") || " nothing";
  return {
    published: (pattern) => {
      const isType = pattern === undefined ? () => true : compilePattern(pattern);
      return published().filter((event) => isType(event.type));
    },
    expectPublished: (pattern, match) => {
      const found = find(pattern, match);
      if (found) return found;
      throw new Error(`No event of "${pattern}"${shown(match)} was published, but:${list()}`);
    },
    expectNotPublished: (pattern, match) => {
      if (find(pattern, match) === undefined) return;
      throw new Error(`An event of "${pattern}"${shown(match)} was published, among:${list()}`);
    },
    clear: () => {
      calls = [];
    },
    stop,
  };
}

function shown(match: EventMatch | undefined): string {
  if (match === undefined) return "";
  return typeof match === "function" ? " that fits" : ` with ${JSON.stringify(match)}`;
}

function fits(event: AgentEvent, match: EventMatch | undefined): boolean {
  if (match === undefined) return true;
  return typeof match === "function" ? match(event) : contains(event.payload, match);
}

/** Whether `value` has all that `part` has: members of objects, whole arrays, equal scalars. */
function contains(value: unknown, part: unknown): boolean {
  if (Object.is(value, part)) return true;
  if (typeof value !== "object" || typeof part !== "object" || !value || !part) return false;
  if (Array.isArray(value) !== Array.isArray(part)) return false;
  if (Array.isArray(value) && Array.isArray(part) && value.length !== part.length) return false;
  return Object.entries(part).every(
    ([name, expected]) =>
      Object.hasOwn(value, name) && contains(Reflect.get(value, name), expected),
  );
}
