/**
 * Topics, groups and ids as NATS subjects.
 *
 *   PREFIX.e.task.created._           the event type task.created
 *   PREFIX.g.GROUP.EVENT              a copy for one group alone
 *   PREFIX.k.g.GROUP, PREFIX.k.d.ID   a group's definition, a dead letter
 *
 * The last word of an event's subject is always `_`. So `task.#` is one subject, `PREFIX.e.task.>`,
 * which also takes the bare `task`: a consumer of older servers has no more than one.
 */
import { createHash } from "node:crypto";
import { parsePattern } from "../../core/pattern.ts";

const end = "_";

/** The subject that events of `type` are published to. */
export function eventSubject(prefix: string, type: string): string {
  return `${prefix}.e.${escapeWords(type)}.${end}`;
}

/** The subject of every event. */
export function allEvents(prefix: string): string {
  return `${prefix}.e.>`;
}

/**
 * One subject that takes every event that one of `patterns` matches. It may take more: the bus
 * matches again.
 *
 * Exact for one pattern whose `#` is at its end, or that has none.
 */
export function planSubject(prefix: string, patterns: readonly string[]): string {
  const subjects = patterns.map((pattern) => subjectOf(prefix, pattern));
  if (subjects.length === 0) return allEvents(prefix);
  return subjects.reduce((left, right) => cover(left, right));
}

function subjectOf(prefix: string, pattern: string): string {
  const { words } = parsePattern(pattern);
  const hash = words.indexOf("#");
  const fixed = (hash === -1 ? words : words.slice(0, hash)).map((word) => escapeWords(word));
  return [prefix, "e", ...fixed, hash === -1 ? end : ">"].join(".");
}

/** The narrowest subject of its kind that takes what `left` or `right` takes. */
function cover(left: string, right: string): string {
  const one = left.split(".");
  const other = right.split(".");
  const merged = (count: number): string[] =>
    one.slice(0, count).map((word, at) => (word === other[at] ? word : "*"));
  const open = one.at(-1) === ">" || other.at(-1) === ">";
  if (!open && one.length === other.length) return merged(one.length).join(".");
  // `>` stands for at least one word, so the shorter one's last word goes into it.
  const count = Math.min(one.length, other.length) - 1;
  return [...merged(count), ">"].join(".");
}

/** Whether a consumer with the filter `filter` is handed what is published to `subject`. */
export function takes(filter: string, subject: string): boolean {
  const wanted = filter.split(".");
  const words = subject.split(".");
  for (const [at, word] of wanted.entries()) {
    if (word === ">") return words.length > at;
    if (at >= words.length || (word !== "*" && word !== words[at])) return false;
  }
  return wanted.length === words.length;
}

/** `>` is a legal word of a topic and a wildcard of NATS. */
function escapeWords(text: string): string {
  return text.replace(/[%>]/g, (character) => (character === "%" ? "%25" : "%3E"));
}

const maxReadable = 40; // characters of a name kept for people to read

/** A group's name as one word of a subject, and as the name of its consumers. */
export function groupToken(group: string): string {
  const readable = group.replace(/[^A-Za-z0-9-]/g, "_").slice(0, maxReadable);
  return `${readable}_${digest(group).slice(0, 20)}`;
}

/** An id as one word of a subject. */
export function idToken(id: string): string {
  return /^[A-Za-z0-9-]{1,128}$/.test(id) ? id : `_${digest(id)}`;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 40);
}

/** The subjects of the copies that wait for one group. */
export function directedSubject(prefix: string, group: string, event: string): string {
  return `${prefix}.g.${groupToken(group)}.${event}`;
}

export function groupSubject(prefix: string, group: string): string {
  return `${prefix}.k.g.${groupToken(group)}`;
}

export function letterSubject(prefix: string, id: string): string {
  return `${prefix}.k.d.${digest(id)}`;
}
