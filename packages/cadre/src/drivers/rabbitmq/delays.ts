/**
 * Delays: queues in which a message stays for a fixed time, and then goes back to its group.
 *
 *   left 300 ms ─▶ PREFIX.delay.160 ─▶ group's queue, 140 left ─▶ PREFIX.delay.80 ─▶ …
 *
 * There is one queue a power of two, made when it is needed first: a message with a time of its own
 * would wait behind a slower one. Who is handed a message that has time left sends it on. What is
 * left travels as a length of time, so that no clock of any host matters.
 */
import { quorum } from "./topology.ts";
import type { Session } from "./session.ts";

const firstLevelMs = 10;
const levels = 27;
const fineness = 16; // a delay ends late by at most a sixteenth of it, or by the first level

/** A week. */
export const maxRetryDelayMs: number = 7 * 24 * 3_600_000;

/**
 * How long the next stay is. Never longer than what is left, but for the last one: many short stays
 * are not worth their precision.
 */
export function nextStay(leftMs: number, delayMs: number): number {
  let level = firstLevelMs;
  for (let n = 1; n < levels && level * 2 <= leftMs; n += 1) level *= 2;
  if (level >= leftMs) return level;
  if (level * 2 - leftMs <= delayMs / fineness) return level * 2;
  return level;
}

const prepared = new WeakMap<Session, Map<number, Promise<void>>>();

/** The exchange into that stay; its queue is made if there is none. */
export async function delayExchange(session: Session, ms: number): Promise<string> {
  const name = session.names.delay(ms);
  const known = prepared.get(session) ?? new Map<number, Promise<void>>();
  prepared.set(session, known);
  let making = known.get(ms);
  if (!making) {
    making = session.patiently(`make ${name}`, () => makeStay(session, name, ms));
    known.set(ms, making);
    making.catch(() => known.delete(ms));
  }
  await making;
  return name;
}

/** It is not there any more: who needs it makes it again. */
export function forgetDelay(session: Session, ms: number): void {
  prepared.get(session)?.delete(ms);
}

async function makeStay(session: Session, name: string, ms: number): Promise<void> {
  await session.control(`make ${name}`, async (channel) => {
    await channel.assertExchange(name, "fanout", { durable: true });
    await channel.assertQueue(name, {
      durable: true,
      arguments: {
        ...quorum,
        "x-message-ttl": ms,
        "x-dead-letter-exchange": session.names.back,
        // It leaves this queue when the group's has it, and not before.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
      },
    });
    await channel.bindQueue(name, name, "");
  });
}
