/**
 * An event whose payload is parsed when somebody looks at it.
 *
 * Reading a long history costs about as much to parse as to read, and most who read it look at a few types only. The event is
 * a plain object all the same: `payload` is an own property, so that copies, comparisons and JSON see what they always see.
 * The unread text hangs on the object as a private field, which a class can only give to a foreign object through its
 * constructor's return value; a WeakMap costs four times as much.
 */
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent, EventMetadata } from "../../core/event.ts";
import { freezeJson } from "../../core/json.ts";

class Given {
  constructor(object: object) {
    // oxlint-disable-next-line no-constructor-return -- this is how a field gets onto an object that is there already
    return object;
  }
}

class UnreadPayload extends Given {
  #id: string;
  #text: string | undefined;
  #payload: unknown;

  constructor(object: object, id: string, text: string) {
    super(object);
    this.#id = id;
    this.#text = text;
  }

  static read(object: UnreadPayload): unknown {
    if (object.#text !== undefined) {
      object.#payload = parsePayload(object.#id, object.#text);
      object.#text = undefined;
    }
    return object.#payload;
  }
}

/** One for all events: they then share one hidden class. */
const payloadProperty: PropertyDescriptor & ThisType<UnreadPayload> = {
  enumerable: true,
  configurable: false,
  get(): unknown {
    return UnreadPayload.read(this);
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
  // The class adds a private field, nothing else; its instance is `event` itself.
  void new UnreadPayload(event, id, text);
  Object.defineProperty(event, "payload", payloadProperty);
  event["metadata"] = metadata;
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
