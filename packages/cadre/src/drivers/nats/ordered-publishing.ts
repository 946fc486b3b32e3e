/**
 * A batch in its order: each message names the one before it, and the stream takes it only right
 * behind that one.
 *
 *   a ◀─ b ◀─ c ◀─ d    all on their way at once
 *   a refused           b, c and d are refused by the server, as nothing of them may come before a
 *   x comes between     the same, and the rest goes on from there with a chain of its own
 */
import type { OrderedResult, PublishResult } from "../../bus/transport.ts";
import type { AgentEvent } from "../../core/event.ts";
import { forCaller, isRefusal, refusals } from "./nats-error.ts";
import { maxEventBytes, messageId } from "./publishing.ts";
import type { Session } from "./session.ts";
import { eventSubject } from "./subjects.ts";
import { encodeMessage, toPosition } from "./wire.ts";

const mostAtOnce = 256;
const leastAtOnce = 2; // after others came between: the first of a chain always goes

/** What one message was answered. */
interface Answer {
  readonly result: PublishResult;
  /** It was not stored, as it would not have stood behind the one before it. */
  readonly isBroken: boolean;
  /** It was stored just now, behind the one before it. */
  readonly isNew: boolean;
}

export async function publishInOrder(
  session: Session,
  events: readonly AgentEvent[],
): Promise<readonly OrderedResult[]> {
  const results: OrderedResult[] = [];
  for (let width = mostAtOnce; results.length < events.length;) {
    const answers = await publishChain(session, events.slice(results.length).slice(0, width));
    const taken = takenOf(answers);
    results.push(...taken);
    const next = answers[taken.length];
    if (!next) width = Math.min(mostAtOnce, 2 * width);
    else if (next.isBroken) width = Math.max(leastAtOnce, taken.length);
    else {
      results.push(next.result);
      break;
    }
  }
  return events.map((_, index) => results[index]);
}

/** Those at the beginning that are in the stream. */
function takenOf(answers: readonly Answer[]): readonly PublishResult[] {
  const end = answers.findIndex(({ result }, index) => !result.ok && !isProven(answers, index));
  const taken = end < 0 ? answers : answers.slice(0, end);
  return taken.map(({ result }) => (result.ok ? result : { ok: true }));
}

/** A message whose answer was lost is there if the next one was stored behind it. */
function isProven(answers: readonly Answer[], index: number): boolean {
  for (let at = index; ; at += 1) {
    const next = answers[at + 1];
    if (!next || answers[at]!.isBroken) return false;
    if (next.isNew) return true;
    if (next.result.ok) return false; // known from before: that says nothing
  }
}

function publishChain(session: Session, events: readonly AgentEvent[]): Promise<readonly Answer[]> {
  return Promise.all(
    events.map((event, index) => publishBehind(session, event, events[index - 1])),
  );
}

async function publishBehind(
  session: Session,
  event: AgentEvent,
  previous: AgentEvent | undefined,
): Promise<Answer> {
  try {
    const { prefix, wire } = session.settings;
    const message = encodeMessage(event, wire, maxEventBytes(session));
    const { seq, duplicate } = await session.place(eventSubject(prefix, event.type), message.data, {
      ...message.headers,
      "Nats-Msg-Id": messageId(event),
      ...(previous && { "Nats-Expected-Last-Msg-Id": messageId(previous) }),
    });
    const result = { ok: true, position: toPosition(seq) } as const;
    return { result, isBroken: false, isNew: duplicate !== true };
  } catch (error) {
    const isBroken = previous !== undefined && isRefusal(error, refusals.wrongLastMessage);
    const result = { ok: false, error: forCaller(error, session.url) } as const;
    return { result, isBroken, isNew: false };
  }
}
