import type { Outgoing, PublishResult } from "../../bus/transport.ts";
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { findGroup, isAhead } from "./groups.ts";
import { forCaller, isRefusal, refusals } from "./nats-error.ts";
import type { Session } from "./session.ts";
import { directedSubject, eventSubject, idToken } from "./subjects.ts";
import {
  directedHeaders,
  encodeMessage,
  type EncodedMessage,
  reservedBytes,
  toPosition,
} from "./wire.ts";

const noBytes = new Uint8Array();

/**
 * Largest encoded event: what the server takes, less the room for headers and for a dead letter's
 * own words.
 */
export function maxEventBytes(session: Session | undefined): number {
  const defaultPayload = 1_048_576; // the server's own, until it has said another
  return (session?.maxPayload ?? defaultPayload) - reservedBytes;
}

/** All are sent at once, in their order: the answers are waited for together. */
export function publishAll(
  session: Session,
  batch: readonly Outgoing[],
): Promise<readonly PublishResult[]> {
  return Promise.all(batch.map((item) => publishOne(session, item)));
}

async function publishOne(session: Session, { event, to }: Outgoing): Promise<PublishResult> {
  try {
    const { prefix, wire } = session.settings;
    const message = encodeMessage(event, wire, maxEventBytes(session));
    const sequence = to
      ? await direct(session, event, message, to)
      : await session.store(eventSubject(prefix, event.type), message.data, {
          ...message.headers,
          "Nats-Msg-Id": messageId(event),
        });
    return { ok: true, position: toPosition(sequence) };
  } catch (error) {
    return { ok: false, error: forCaller(error, session.url) };
  }
}

/** What the server knows an event by when it comes again. Ids may hold what a header may not. */
export function messageId({ id }: AgentEvent): string {
  return idToken(id);
}

/** A copy for one group. A later copy of the same event takes the place of one that still waits. */
async function direct(
  session: Session,
  event: AgentEvent,
  message: EncodedMessage,
  to: NonNullable<Outgoing["to"]>,
): Promise<number> {
  const { prefix } = session.settings;
  const group = await findGroup(session, to.group);
  if (!group) {
    const reason =
      `There is no group "${to.group}" at ${session.url}. ` +
      "Subscribe with it first, or fix its name.";
    throw new CadreError("NOT_FOUND", reason, { what: "group", id: to.group });
  }
  const sequence = await findRecent(session, event);
  if (sequence !== undefined) {
    const subject = eventSubject(prefix, event.type);
    if (await isAhead(session, group, { subject, sequence })) return sequence;
  }
  const subject = directedSubject(prefix, to.group, idToken(event.id));
  return session.store(subject, message.data, directedHeaders(message, to.attempt ?? 1));
}

/**
 * Where the event is in the stream, if it came within the duplicate window.
 *
 * The server looks for a known id before it looks at the expectation. An expectation that never
 * holds makes the question harmless: nothing is stored when the id is not known.
 */
async function findRecent(session: Session, event: AgentEvent): Promise<number | undefined> {
  const subject = eventSubject(session.settings.prefix, event.type);
  try {
    return await session.store(subject, noBytes, {
      "Nats-Msg-Id": messageId(event),
      "Nats-Expected-Last-Msg-Id": "-",
    });
  } catch (error) {
    if (isRefusal(error, refusals.wrongLastMessage)) return undefined;
    throw error;
  }
}
