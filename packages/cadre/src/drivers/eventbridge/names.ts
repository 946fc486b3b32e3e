/**
 * Names at AWS, all of which begin with the prefix.
 *
 *   PREFIX              source of the events
 *   PREFIX.probe.NAME   source of a probe for one rule
 *   PREFIX-g-GROUP      rule and queue of a group
 *   PREFIX-b-ID         rule and queue of a broadcast
 *   PREFIX-dead         queue of the dead letters
 */
import { createHash } from "node:crypto";

export interface Names {
  readonly source: string;
  readonly groups: string;
  readonly broadcasts: string;
  readonly dead: string;
  group(group: string): string;
  broadcast(id: string): string;
  probe(name: string): string;
}

export function namesOf(prefix: string): Names {
  const groups = `${prefix}-g-`;
  const broadcasts = `${prefix}-b-`;
  return {
    source: prefix,
    groups,
    broadcasts,
    dead: `${prefix}-dead`,
    group: (group) => `${groups}${token(group)}`,
    broadcast: (id) => `${broadcasts}${digest(id)}`,
    probe: (name) => `${prefix}.probe.${name}`,
  };
}

// With prefix and digest a rule's name stays within 64 characters.
const maxReadable = 20;

function token(group: string): string {
  const readable = group.replace(/[^A-Za-z0-9-]/g, "_").slice(0, maxReadable);
  return `${readable}-${digest(group)}`;
}

/** Twenty characters. */
export function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 20);
}
