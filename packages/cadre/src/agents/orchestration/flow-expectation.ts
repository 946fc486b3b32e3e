/** What is expected to come next in a flow, where nobody conducts it. */
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { compileFilter, type FilterDocument } from "../../core/filter.ts";
import { anything, checkOptions, someText, wholeNumber } from "../../core/options.ts";
import { assertPattern, compilePattern } from "../../core/pattern.ts";

export interface FlowExpectationOptions {
  /** Names it in events and lists. @default the two patterns */
  readonly name?: string;
  /** Topic pattern of the events after which something is expected. */
  readonly after: string;
  /** Which of them. */
  readonly where?: FilterDocument;
  /** Topic pattern, or several, of what is expected in the same flow: one event is enough. */
  readonly next: string | readonly string[];
  /** In milliseconds, from the event's timestamp. */
  readonly withinMs: number;
}

export interface FlowExpectation {
  readonly name: string;
  readonly withinMs: number;
  /** What it says, as text: two of one text are one. */
  readonly definition: string;
  /** For people: the patterns of what is expected. */
  readonly expected: string;
  readonly begins: (event: AgentEvent) => boolean;
  readonly meets: (event: AgentEvent) => boolean;
}

/**
 * Declares what must follow an event within some time, in the flow that it belongs to.
 *
 * @throws {CadreError} INVALID_OPTION | INVALID_PATTERN | INVALID_FILTER
 */
export function defineExpectation(options: FlowExpectationOptions): FlowExpectation {
  checkOptions("defineExpectation", options, {
    name: someText,
    after: someText,
    where: anything,
    next: anything,
    withinMs: wholeNumber(1),
  });
  const { after, withinMs, where } = options;
  const patterns = typeof options.next === "string" ? [options.next] : options.next;
  if (withinMs === undefined || !Array.isArray(patterns) || patterns.length === 0) {
    const message = "defineExpectation: give `next`, a pattern or several, and `withinMs`.";
    throw new CadreError("INVALID_OPTION", message, { option: "next", value: options.next });
  }
  for (const pattern of [after, ...patterns]) assertPattern(pattern);
  const begins = compilePattern(after);
  const filter = where === undefined ? undefined : compileFilter(where);
  const matching = patterns.map((pattern) => compilePattern(pattern));
  const expected = patterns.join(" | ");
  const name = options.name ?? `${after} → ${expected}`;
  return Object.freeze({
    name,
    withinMs,
    expected,
    definition: JSON.stringify({ name, after, where, expected, withinMs }),
    begins: (event: AgentEvent) => begins(event.type) && (filter?.matches(event) ?? true),
    meets: (event: AgentEvent) => matching.some((matches) => matches(event.type)),
  });
}
