/**
 * The events of the bus's own that requests are made of. No registry knows them, and no schema is
 * asked for them.
 */
import type { AgentEvent } from "../core/event.ts";

/** A reply's type is this and the instance that asked. */
export const replyPrefix = "reply.";

/** Whether replies may be sent there: to an instance of a bus, and as nothing else. */
export function isReplyAddress(topic: string): boolean {
  return topic.startsWith(replyPrefix) && topic.length > replyPrefix.length;
}

/** Tells responders that an asker gave up. */
export const cancelType = "request.cancelled";

/** The extension that marks a reply as an error. */
export const failureMark = "failed";

/** The payload of a reply that is an error. */
export interface ReplyFailure {
  readonly name: string;
  readonly message: string;
  readonly code: string;
}

export function isFailure(reply: AgentEvent): boolean {
  return reply.metadata.extensions?.[failureMark] === "1";
}

/**
 * Whether a type is what a bus says about itself. A registry may know it; if not, it passes all the
 * same.
 */
export function isNews(type: string): boolean {
  return type === "error" || type === "agent.backpressure" || type.startsWith("circuit_breaker.");
}

/** Whether a type is the bus's own. */
export function isInternal(type: string): boolean {
  return type === cancelType || type.startsWith(replyPrefix);
}
