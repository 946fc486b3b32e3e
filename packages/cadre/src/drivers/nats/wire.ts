/**
 * Events as messages, and back.
 *
 * Written as the options say; read in whatever format they came, so that others may publish any.
 */
import type { WireChoice } from "../../core/codec/wire-choice.ts";
import type { AgentEvent } from "../../core/event.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import type { Position, Recorded } from "../../bus/transport.ts";
import type { NatsHeadersLike, NatsMessageLike } from "./client.ts";

const nameOf = {
  attempt: "Cadre-Attempt",
  position: "Cadre-Position",
  recordedAt: "Cadre-Recorded-At",
} as const;

/**
 * Kept free of a message's largest size: room for headers, and for what a dead letter adds to its
 * event.
 */
export const reservedBytes = 16_384;

/** An event as data, and the headers that say how to read it. */
export interface EncodedMessage {
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** @throws {CadreError} TOO_LARGE */
export function encodeMessage(
  event: AgentEvent,
  wire: WireChoice,
  maxBytes: number,
): EncodedMessage {
  const { body, contentType, headers } = wire.encode(event, { maxBytes });
  return { data: body, headers: { ...headers, "Content-Type": contentType } };
}

/** What the subject says that an ack goes to. */
export interface DeliveryInfo {
  /** How often the server has handed the message out, this time included. */
  readonly deliveries: number;
  readonly streamSequence: number;
  readonly consumerSequence: number;
  /** Unix milliseconds at which the stream took it. */
  readonly storedAt: number;
  /** Messages that the consumer has still to hand out. */
  readonly pending: number;
}

/** Nothing where the message was not handed out by a consumer. */
export function deliveryInfo(message: NatsMessageLike): DeliveryInfo | undefined {
  const words = message.reply?.split(".") ?? [];
  if (words[0] !== "$JS" || words[1] !== "ACK") return undefined;
  // $JS.ACK.[domain.account.]stream.consumer.deliveries.stream.consumer.time.pending[.more]
  const at = words.length === 9 ? 4 : 6;
  if (words.length < at + 5) return undefined;
  const number = (offset: number): number => Number(words[at + offset]);
  return {
    deliveries: number(0),
    streamSequence: number(1),
    consumerSequence: number(2),
    storedAt: Math.floor(number(3) / 1e6),
    pending: number(4),
  };
}

const positionDigits = 16; // what a safe integer has

/** Fixed width: positions compare as text. */
export function toPosition(sequence: number): Position {
  return String(sequence).padStart(positionDigits, "0");
}

/** @throws {CadreError} INVALID_OPTION */
export function fromPosition(position: Position): number {
  if (/^\d{16}$/.test(position)) return Number(position);
  const message = `"${position}" is no position of the NATS transport. Give one that it has made.`;
  throw new CadreError("INVALID_OPTION", message, { option: "position", value: position });
}

/** What a message holds. A copy for one group has the position of the first. */
export function toRecorded(
  message: NatsMessageLike,
  info: DeliveryInfo,
  wire: WireChoice,
): Recorded {
  const { data, headers } = message;
  const recordedAt = Number(valueOf(headers, nameOf.recordedAt) ?? info.storedAt);
  const position = valueOf(headers, nameOf.position) ?? toPosition(info.streamSequence);
  try {
    return { position, recordedAt, event: decode(message, recordedAt, wire) };
  } catch (error) {
    const reason = describeError(error).message;
    return { position, recordedAt, undecodable: { bytes: data, reason } };
  }
}

function decode(
  { data, headers }: NatsMessageLike,
  receivedAt: number,
  wire: WireChoice,
): AgentEvent {
  const values: Record<string, string> = {};
  let contentType: string | undefined;
  for (const name of headers?.keys() ?? []) {
    const value = headers?.get(name) ?? "";
    values[name] = value;
    if (name.toLowerCase() === "content-type" && value !== "") contentType = value;
  }
  const typed = contentType === undefined ? {} : { contentType };
  const limits = { maxBytes: Infinity, receivedAt }; // the server has its own limit
  return wire.decode({ headers: values, body: data, ...typed }, limits);
}

/** The attempt that this delivery is. */
export function attemptOf(message: NatsMessageLike, info: DeliveryInfo): number {
  const first = Number(valueOf(message.headers, nameOf.attempt) ?? 1);
  return first + info.deliveries - 1;
}

/** Headers of a copy that begins as attempt `attempt`. */
export function directedHeaders(
  { headers }: EncodedMessage,
  attempt: number,
): Record<string, string> {
  return { ...headers, [nameOf.attempt]: String(attempt) };
}

/** Headers of a copy of `message` as it came, with another count of attempts. */
export function copiedHeaders(
  message: NatsMessageLike,
  recorded: Recorded,
  attempt: number,
): Record<string, string> {
  const copied: Record<string, string> = {};
  for (const name of message.headers?.keys() ?? []) {
    // The server's own would be taken as orders.
    if (!/^nats-/i.test(name)) copied[name] = message.headers?.get(name) ?? "";
  }
  return {
    ...copied,
    [nameOf.attempt]: String(attempt),
    [nameOf.position]: recorded.position,
    [nameOf.recordedAt]: String(recorded.recordedAt),
  };
}

function valueOf(headers: NatsHeadersLike | undefined, name: string): string | undefined {
  const value = headers?.get(name) ?? "";
  return value === "" ? undefined : value;
}
