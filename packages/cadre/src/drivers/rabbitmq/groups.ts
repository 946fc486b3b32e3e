/**
 * Groups: a quorum queue that all members share.
 *
 * Its definition is an argument of the queue that the server compares: a member with another one is
 * refused by the server itself. (It is the key under which the queue would hand on what it drops;
 * it drops nothing.)
 *
 * A new group that begins in the past is filled from the log, under a lock. While that goes on a
 * second queue stands beside it: a member that finds it knows that the filling was broken off.
 */
import type { ConsumeSpec, StartFrom } from "../../bus/transport.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import type { RabbitMessageLike } from "./client.ts";
import { LogCursor, sendMarker, startOf } from "./log-cursor.ts";
import { definitionKey } from "./names.ts";
import { replies, replyOf } from "./rabbitmq-error.ts";
import type { Session } from "./session.ts";
import { quorum } from "./topology.ts";
import { compilePattern } from "../../core/pattern.ts";
import { copyOptions, headerOf, textHeader, toRecorded } from "./wire.ts";

const noLimit = 2_000_000_000; // the bus decides when an event has been tried often enough
const settleMs = 50; // for what was on its way to the queue and the log when the group was bound

/** @throws {CadreError} GROUP_MISMATCH */
export async function joinGroup(session: Session, spec: ConsumeSpec): Promise<void> {
  const { names } = session;
  const group = spec.subscription;
  await session.locked(names.lock(group), async () => {
    let isThere = await session.hasQueue(names.group(group));
    if (isThere && (await session.hasQueue(names.filling(group)))) {
      await session.control("begin anew", (channel) => channel.deleteQueue(names.group(group)));
      isThere = false;
    }
    if (isThere || spec.from === "new") {
      await declare(session, spec);
      return;
    }
    const filling = names.filling(group);
    await session.control("begin", (channel) => channel.assertQueue(filling, { durable: true }));
    await declare(session, spec);
    await fill(session, spec, spec.from);
    await session.control("begin", (channel) => channel.deleteQueue(filling));
  });
}

export async function deleteGroup(session: Session, group: string): Promise<void> {
  const { names } = session;
  await session.locked(names.lock(group), async () => {
    await session.control(`delete ${group}`, async (channel) => {
      await channel.deleteQueue(names.group(group));
      await channel.deleteQueue(names.filling(group));
    });
  });
}

async function declare(session: Session, spec: ConsumeSpec): Promise<void> {
  const { names } = session;
  const queue = names.group(spec.subscription);
  const wanted = definitionKey(spec.definition);
  const args = {
    ...quorum,
    "x-delivery-limit": noLimit,
    "x-dead-letter-exchange": names.void,
    "x-dead-letter-routing-key": wanted,
  };
  try {
    await session.control("join", async (channel) => {
      await channel.assertQueue(queue, { durable: true, arguments: args });
      await channel.bindQueue(queue, names.back, queue);
      for (const pattern of spec.patterns) await channel.bindQueue(queue, names.events, pattern);
    });
  } catch (error) {
    if (replyOf(error) !== replies.differs) throw error;
    const said = describeError(error).message;
    const expected = /but current is '(.*)'/s.exec(said)?.[1] ?? said;
    const name = spec.subscription;
    const message =
      `Group "${name}" is defined as ${expected}, and this member says ${wanted}. ` +
      "Give all members one definition, use another group name, or forget this group, and what " +
      `it had not handled, with: cadre groups delete ${name} --yes`;
    const details = { group: name, expected, actual: spec.definition };
    throw new CadreError("GROUP_MISMATCH", message, details, error);
  }
}

/** Puts what the log has before what has come since the queue was bound. */
async function fill(session: Session, spec: ConsumeSpec, from: StartFrom): Promise<void> {
  const { clock } = session.settings;
  await clock.sleep(settleMs);
  const marker = await sendMarker(session);
  const matchers = spec.patterns.map((pattern) => compilePattern(pattern));
  const start = await startOf(session, from);
  const cursor = await LogCursor.open(session, start);
  const past: RabbitMessageLike[] = [];
  try {
    for (let isDone = false; !isDone;) {
      for (const message of await cursor.next()) {
        if (textHeader(message, headerOf.marker) === marker) isDone = true;
        if (isDone) break;
        const { event } = toRecorded(message, session.settings);
        if (event && matchers.some((matches) => matches(event.type))) past.push(message);
      }
    }
  } finally {
    await cursor.close();
  }
  await moveBehind(session, spec.subscription, past);
}

/**
 * The queue may hold some of them already, and others that have come since. All that it holds goes
 * behind those that it does not.
 */
async function moveBehind(
  session: Session,
  group: string,
  past: readonly RabbitMessageLike[],
): Promise<void> {
  const { names, outlet } = session;
  const queue = names.group(group);
  const client = await session.out.client();
  const channel = await client.createChannel();
  channel.on("error", () => {}); // what is asked of it then fails
  try {
    const present: RabbitMessageLike[] = [];
    for (;;) {
      const message = await channel.get(queue);
      if (message === false) break;
      present.push(message);
    }
    const marks = new Set(present.map((message) => textHeader(message, headerOf.mark)));
    marks.delete(undefined);
    const missing = past.filter((message) => !marks.has(textHeader(message, headerOf.mark)));
    const copies = [...missing, ...present].map((message) =>
      outlet.send({
        exchange: names.back,
        key: queue,
        content: message.content,
        options: copyOptions(message, {}),
      }),
    );
    await Promise.all(copies);
    for (const message of present) channel.ack(message);
    await channel.checkQueue(queue); // the acks are done when it is answered
  } finally {
    await channel.close().catch(() => {}); // it may have broken
  }
}
