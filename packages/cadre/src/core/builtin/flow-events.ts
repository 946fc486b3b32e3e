/** A flow of events: what has one correlation id, whoever publishes it. */
import { fact, instant, optional, text, word, type BuiltinFamily } from "./payload-schema.ts";

export interface FlowStuck {
  /** Correlation id of the flow. */
  readonly flow: string;
  /** Name of the expectation that was not met. */
  readonly expectation: string;
  /** The event after which something was expected: its id and its type. */
  readonly after: string;
  readonly afterType: string;
  /** The pattern of what was expected. */
  readonly expected: string;
  /** Unix milliseconds at which it was due. */
  readonly dueAt: number;
  /** The last event of the flow: its id and its type. */
  readonly last?: string;
  readonly lastType?: string;
  readonly reason?: string;
}

export interface FlowResumed {
  readonly flow: string;
  readonly expectation: string;
  readonly after: string;
  /** The event that came late: its id and its type. */
  readonly met: string;
  readonly metType: string;
}

export type FlowEvents = {
  "flow.stuck": FlowStuck;
  "flow.resumed": FlowResumed;
};

export const flowEvents: BuiltinFamily<FlowEvents> = {
  "flow.stuck": fact("What was expected next in a flow did not come in time.", {
    flow: word,
    expectation: word,
    after: word,
    afterType: word,
    expected: word,
    dueAt: instant,
    last: optional(word),
    lastType: optional(word),
    reason: optional(text),
  }),
  "flow.resumed": fact("What a stuck flow waited for has come after all.", {
    flow: word,
    expectation: word,
    after: word,
    met: word,
    metType: word,
  }),
};
