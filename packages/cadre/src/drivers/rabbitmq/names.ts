/**
 * Names on the server, all of which begin with the prefix.
 *
 *   PREFIX              topic exchange: every event, by its type
 *   PREFIX.log          stream: every event
 *   PREFIX.dead         stream: dead letters, and which of them are gone
 *   PREFIX.g.GROUP      quorum queue of a group
 *   PREFIX.back         direct exchange to the queues of the groups
 *   PREFIX.delay.MS     fanout exchange and quorum queue: back after so many milliseconds
 *   PREFIX.void         where goes what nobody takes any more
 */
import { createHash } from "node:crypto";

export interface Names {
  readonly events: string;
  readonly log: string;
  readonly dead: string;
  readonly back: string;
  readonly void: string;
  group(group: string): string;
  /** There while the queue of a new group is being filled from the log. */
  filling(group: string): string;
  lock(group: string): string;
  delay(ms: number): string;
}

export function namesOf(prefix: string): Names {
  return {
    events: prefix,
    log: `${prefix}.log`,
    dead: `${prefix}.dead`,
    back: `${prefix}.back`,
    void: `${prefix}.void`,
    group: (group) => `${prefix}.g.${token(group)}`,
    filling: (group) => `${prefix}.filling.${token(group)}`,
    lock: (group) => `${prefix}.lock.${token(group)}`,
    delay: (ms) => `${prefix}.delay.${ms}`,
  };
}

const maxReadable = 60; // characters of a name kept for people to read

function token(group: string): string {
  const readable = group.replace(/[^A-Za-z0-9-]/g, "_").slice(0, maxReadable);
  return `${readable}_${digest(group).slice(0, 20)}`;
}

export function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 40);
}

const mostBytes = 250; // a short string of AMQP holds 255

/**
 * A group's definition as the server compares and shows it: as it is, or of a long one the
 * beginning and a digest of all.
 */
export function definitionKey(definition: string): string {
  if (Buffer.byteLength(definition) <= mostBytes) return definition;
  const start = Buffer.from(definition).subarray(0, 150).toString("utf8").replaceAll("\ufffd", "");
  return `${start}… ${digest(definition)}`;
}
