/**
 * An event whose payload is parsed when somebody looks at it.
 *
 * Reading a long history costs about as much to parse as to read, and most who read it look at a
 * few types only. The event is a plain object all the same: `payload` is an own property, so that
 * copies, comparisons and JSON see what they always see. The unread text hangs on the object under
 * a symbol that is not enumerable; a WeakMap costs three times as much.
 */
import { CadreError } from "../core/errors.ts";
import type { AgentEvent, EventMetadata } from "../core/event.ts";
import { freezeJson } from "../core/json.ts";

const unread = Symbol("unread payload");

interface Unread {
  readonly id: string;
  text: string | undefined;
  payload: unknown;
}

/** One for all events: they then share one hidden class. */
const payloadProperty: PropertyDescriptor & ThisType<{ readonly [unread]: Unread }> = {
  enumerable: true,
  get(): unknown {
    const state = this[unread];
    if (state.text !== undefined) {
      state.payload = parsePayload(state.id, state.text);
      state.text = undefined;
    }
    return state.payload;
  },
};

/** A frozen event. Looking at its payload throws UNDECODABLE when the text is no JSON. */
export function lazyEvent(
  id: string,
  type: string,
  source: string,
  timestamp: number,
  text: string,
  metadata: EventMetadata,
): AgentEvent {
  const event: Record<string, unknown> = { id, type, source, timestamp };
  Object.defineProperty(event, "payload", payloadProperty);
  event["metadata"] = metadata;
  const state: Unread = { id, text, payload: undefined };
  Object.defineProperty(event, unread, { value: state });
  return Object.freeze(event) as unknown as AgentEvent; // all fields are set above
}

/** @throws {CadreError} UNDECODABLE, when the text is no JSON */
export function parsePayload(id: string, text: string): unknown {
  try {
    return freezeJson(JSON.parse(text));
  } catch (cause) {
    const reason = `the payload of the event ${id} is no JSON`;
    throw new CadreError("UNDECODABLE", `In the log, ${reason}.`, { reason }, cause);
  }
}
