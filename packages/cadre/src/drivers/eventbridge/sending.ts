/** Messages straight into a queue, collected as far as they fit into one call. */
import { BatchDesk } from "./batch-desk.ts";
import type { BatchAnswer, SendEntry } from "./client.ts";
import { isMissing } from "./eventbridge-error.ts";
import type { Session } from "./session.ts";
import { maxCallBytes } from "./wire.ts";

export interface Message {
  readonly body: string;
  readonly attributes: NonNullable<SendEntry["MessageAttributes"]>;
}

const desks = new WeakMap<Session, Map<string, BatchDesk<Message, void>>>();

/** Resolves when SQS has the message. @throws what the client throws */
export function sendOne(session: Session, queue: string, message: Message): Promise<void> {
  const ofSession = desks.get(session) ?? new Map<string, BatchDesk<Message, void>>();
  desks.set(session, ofSession);
  let desk = ofSession.get(queue);
  if (!desk) {
    desk = new BatchDesk({ send: (messages) => sendAll(session, queue, messages) });
    ofSession.set(queue, desk);
  }
  return desk.ask(message);
}

async function sendAll(
  session: Session,
  queue: string,
  messages: readonly Message[],
): Promise<readonly void[]> {
  for (const call of inCalls(messages)) await sendCall(session, queue, call);
  return messages.map(() => undefined);
}

function* inCalls(messages: readonly Message[]): Generator<readonly Message[], void, undefined> {
  let call: Message[] = [];
  let bytes = 0;
  for (const message of messages) {
    const more = Buffer.byteLength(message.body) + attributeBytes;
    if (call.length > 0 && bytes + more > maxCallBytes) {
      yield call;
      [call, bytes] = [[], 0];
    }
    call.push(message);
    bytes += more;
  }
  if (call.length > 0) yield call;
}

const attributeBytes = 512; // more than the attributes of a message have

async function sendCall(
  session: Session,
  queue: string,
  messages: readonly Message[],
): Promise<void> {
  const QueueUrl = await session.queueUrl(queue);
  const Entries = messages.map(({ body, attributes }, at): SendEntry => {
    return { Id: String(at), MessageBody: body, MessageAttributes: attributes };
  });
  try {
    const answer = await session.patiently(`send to ${queue}`, (options) =>
      session.clients.queues.sendMessageBatch({ QueueUrl, Entries }, options),
    );
    for (const failed of failures(answer).values()) throw failed;
  } catch (error) {
    if (isMissing(error)) session.forgetQueue(queue);
    throw error;
  }
}

/** What became of those items of a batch that failed, by their ids. */
export function failures(answer: BatchAnswer): Map<string, Error> {
  const all = new Map<string, Error>();
  for (const { Id = "", Code = "Failed", Message = "" } of answer.Failed ?? []) {
    all.set(Id, Object.assign(new Error(Message), { name: Code }));
  }
  return all;
}
