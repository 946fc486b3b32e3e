/** The exchanges and queues that every bus has. They are made where there are none. */
import { CadreError, describeError } from "../../core/errors.ts";
import { replies, replyOf } from "./rabbitmq-error.ts";
import type { Session } from "./session.ts";

/** @throws {CadreError} INVALID_OPTION, when they are there and made otherwise */
export async function prepareTopology(session: Session): Promise<void> {
  const { names, settings } = session;
  const { maxAgeMs, maxLogBytes, maxDeadLetterBytes } = settings;
  const log = {
    "x-queue-type": "stream",
    ...(maxAgeMs > 0 ? { "x-max-age": `${Math.ceil(maxAgeMs / 1_000)}s` } : {}),
    ...(maxLogBytes > 0 ? { "x-max-length-bytes": maxLogBytes } : {}),
  };
  try {
    await session.control("prepare", async (channel) => {
      await channel.assertExchange(names.events, "topic", { durable: true });
      await channel.assertQueue(names.log, { durable: true, arguments: log });
      await channel.bindQueue(names.log, names.events, "#");
      const letters = maxDeadLetterBytes > 0 ? { "x-max-length-bytes": maxDeadLetterBytes } : {};
      const dead = { "x-queue-type": "stream", ...letters };
      await channel.assertQueue(names.dead, { durable: true, arguments: dead });
      await channel.assertExchange(names.void, "fanout", { durable: true });
      const last = { "x-max-length": 1 };
      await channel.assertQueue(names.void, { durable: true, arguments: last });
      await channel.bindQueue(names.void, names.void, "");
      const options = { durable: true, alternateExchange: names.void };
      await channel.assertExchange(names.back, "direct", options);
    });
  } catch (error) {
    if (replyOf(error) !== replies.differs) throw error;
    const message =
      `At ${session.url} "${names.events}" has been made with other options: ` +
      `${describeError(error).message}. Give the same, or another prefix.`;
    const details = { option: "prefix", value: names.events };
    throw new CadreError("INVALID_OPTION", message, details, error);
  }
}

/** Arguments of a queue whose content survives the end of its server. */
export const quorum = { "x-queue-type": "quorum" } as const;
