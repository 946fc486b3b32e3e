/**
 * Events as messages, and back.
 *
 * Written as the options say; read in whatever format they came, so that others may publish any.
 * Each message has a mark of its own, by which the group's copy of it is found in the log again.
 */
import type { WireChoice } from "../../core/codec/wire-choice.ts";
import type { AgentEvent } from "../../core/event.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import type { Position, Recorded } from "../../bus/transport.ts";
import type { RabbitMessageLike, RabbitPublishOptions } from "./client.ts";
import type { Settings } from "./rabbitmq-options.ts";

/** Largest encoded event: larger ones hold up all others on a connection. */
export const maxEventBytes = 16_777_216;

export const headerOf = {
  attempt: "cadre-attempt",
  /** Unix milliseconds, and what makes it the only one. */
  mark: "cadre-mark",
  /** Milliseconds of its delay that are still to come, and all of it. */
  left: "cadre-left",
  delay: "cadre-delay",
  /** Unix milliseconds at which it was directed to its group. */
  directedAt: "cadre-directed-at",
  /** The id of the directed event, where it can be compared without decoding. */
  directedId: "cadre-directed-id",
  /** Of no event: it stands in the log to be found again. */
  marker: "cadre-marker",
  /** Ids of dead letters: of the one that it is, and of the one that is gone. */
  letter: "cadre-letter",
  gone: "cadre-gone",
} as const;

const offsetHeader = "x-stream-offset";
const deliveriesHeader = "x-delivery-count";

/** An event as content, and what says how to read it. */
export interface EncodedMessage {
  readonly content: Buffer;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** @throws {CadreError} TOO_LARGE */
export function encodeMessage(event: AgentEvent, wire: WireChoice): EncodedMessage {
  const { body, contentType, headers } = wire.encode(event, { maxBytes: maxEventBytes });
  const content = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return { content, contentType, headers };
}

export function publishOptions(
  event: AgentEvent,
  message: EncodedMessage,
  own: Readonly<Record<string, unknown>>,
): RabbitPublishOptions {
  // An id that does not fit into a short string stands in the event alone.
  const messageId = Buffer.byteLength(event.id) <= 255 ? { messageId: event.id } : {};
  const { contentType } = message;
  const headers = { ...message.headers, ...own };
  return { persistent: true, contentType, headers, ...messageId };
}

/** The same message again, with other headers. */
export function copyOptions(
  message: RabbitMessageLike,
  changes: Readonly<Record<string, unknown>>,
): RabbitPublishOptions {
  const headers: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(message.properties.headers ?? {})) {
    if (!/^x-/i.test(name)) headers[name] = value; // the server's own
  }
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) delete headers[name];
    else headers[name] = value;
  }
  const { contentType } = message.properties;
  return { persistent: true, headers, ...(contentType === undefined ? {} : { contentType }) };
}

export function textHeader(message: RabbitMessageLike, name: string): string | undefined {
  const value = message.properties.headers?.[name];
  return typeof value === "string" ? value : undefined;
}

export function numberHeader(message: RabbitMessageLike, name: string): number | undefined {
  const value = message.properties.headers?.[name];
  return typeof value === "number" ? value : undefined;
}

export function offsetOf(message: RabbitMessageLike): number {
  return numberHeader(message, offsetHeader) ?? 0;
}

/** The attempt that this delivery is: the server counts how often it has come back. */
export function attemptOf(message: RabbitMessageLike): number {
  const first = numberHeader(message, headerOf.attempt) ?? 1;
  return first + (numberHeader(message, deliveriesHeader) ?? 0);
}

const positionDigits = 16; // what a safe integer has

/** A position in the log. Fixed width: they compare as text. */
export function toPosition(offset: number): Position {
  return String(offset).padStart(positionDigits, "0");
}

/** What a position says: a place in the log, or the mark of a message that lies there. */
export type Place = { readonly offset: number } | { readonly mark: string };

/** @throws {CadreError} INVALID_OPTION */
export function fromPosition(position: Position): Place {
  if (/^\d{16}$/.test(position)) return { offset: Number(position) };
  if (/^\d{13}\.[\w-]+\.\d+$/.test(position)) return { mark: position };
  const message = `"${position}" is no position of the RabbitMQ transport. Give one that it made.`;
  throw new CadreError("INVALID_OPTION", message, { option: "position", value: position });
}

/** The instant that a mark begins with. */
export function timeOfMark(mark: string): number {
  return Number.parseInt(mark, 10);
}

/** What a message holds. One of a group has its mark as position, one of the log its offset. */
export function toRecorded(
  message: RabbitMessageLike,
  { clock, wire }: Pick<Settings, "clock" | "wire">,
  offset?: number,
): Recorded {
  const { content } = message;
  const mark = textHeader(message, headerOf.mark);
  const recordedAt = mark === undefined ? (sentAt(message) ?? clock.now()) : timeOfMark(mark);
  const position =
    offset === undefined
      ? (mark ?? `${String(recordedAt).padStart(13, "0")}.foreign.0`)
      : toPosition(offset);
  try {
    return { position, recordedAt, event: decode(message, recordedAt, wire) };
  } catch (error) {
    const reason = describeError(error).message;
    return { position, recordedAt, undecodable: { bytes: content, reason } };
  }
}

/** Of messages of others: AMQP's own time, in seconds. */
function sentAt({ properties }: RabbitMessageLike): number | undefined {
  return typeof properties.timestamp === "number" ? properties.timestamp * 1_000 : undefined;
}

function decode(message: RabbitMessageLike, receivedAt: number, wire: WireChoice): AgentEvent {
  const { headers = {}, contentType } = message.properties;
  const values: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === "string") values[name] = value;
  }
  const typed = contentType === undefined ? {} : { contentType };
  const limits = { maxBytes: Infinity, receivedAt }; // the server has its own limit
  return wire.decode({ headers: values, body: message.content, ...typed }, limits);
}
