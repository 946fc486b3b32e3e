/**
 * A topic is the type of a published event: 1 to 32 words separated by dots,
 * `task.assigned.reader`.
 */
import { CadreError } from "./errors.ts";

/** Deeper than any real topic, and it bounds the matcher's work. */
export const maxTopicWords = 32;

/**
 * Bytes of UTF-8: what every carrier takes with a prefix in front (AMQP's short string holds 255,
 * Kafka's topic name 249).
 */
export const maxTopicBytes = 255;

const dot = 0x2e;
// Control characters (C0, DEL, C1), every kind of white space and separator, the byte order mark.
const forbidden = /[\p{Cc}\p{Z}\s\ufeff]/u;

/**
 * True when `type` can be published; {@link assertTopic} says what is wrong with one that can't.
 */
export function isTopic(type: string): boolean {
  return problemOf(type) === undefined;
}

/**
 * Refuses a type that no carrier could take unchanged.
 *
 * A topic has 1 to 32 words separated by dots, none of them empty, at most 255 bytes of UTF-8, and
 * nowhere a `*`, a `#`, white space, a control character or half a surrogate pair.
 *
 * @throws {CadreError} INVALID_TOPIC
 */
export function assertTopic(type: string): void {
  const problem = problemOf(type);
  if (problem !== undefined) {
    throw new CadreError("INVALID_TOPIC", `${shown(type)} cannot be published: ${problem}.`, {
      topic: type,
    });
  }
}

/** The text as it goes into a message: quoted, escaped, and cut when it is long. */
export function shown(text: unknown): string {
  const quoted = JSON.stringify(String(text));
  return quoted.length <= 80 ? quoted : `${quoted.slice(0, 80)}…"`;
}

function problemOf(type: string): string | undefined {
  if (typeof type !== "string") return `a topic is a string, not ${typeof type}`;
  if (type === "") return "it is empty";
  // No character takes less than a byte, so a longer string is refused before its characters are
  // looked at.
  if (type.length > maxTopicBytes) return `it is longer than ${maxTopicBytes} bytes`;
  return isPlain(type) ? undefined : closerLook(type);
}

/**
 * One pass over the usual kind of topic: printable ASCII, no wildcard, no empty word, not too deep.
 */
function isPlain(type: string): boolean {
  let words = 1;
  let previous = dot;
  for (let i = 0; i < type.length; i++) {
    const code = type.charCodeAt(i);
    if (code === dot) {
      if (previous === dot) return false;
      words++;
    } else if (code <= 0x20 || code >= 0x7f || code === 0x2a || code === 0x23) {
      return false;
    }
    previous = code;
  }
  return previous !== dot && words <= maxTopicWords;
}

function closerLook(type: string): string | undefined {
  const words = type.split(".");
  if (words.length > maxTopicWords) return `it has more than ${maxTopicWords} words`;
  if (words.includes("")) return "it has an empty word";
  if (/[*#]/.test(type)) return "it has a wildcard, which only patterns may have";
  if (forbidden.test(type)) return "it has white space or a control character";
  if (!type.isWellFormed()) return "it has half a surrogate pair";
  if (utf8Length(type) > maxTopicBytes) return `it is longer than ${maxTopicBytes} bytes`;
  return undefined;
}

function utf8Length(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}
