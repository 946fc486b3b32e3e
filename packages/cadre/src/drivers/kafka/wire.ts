/**
 * Events as messages, and back.
 *
 *   headers of the format       ce_specversion, ce_id, ce_type …, content-type
 *   headers of the carrier      cadre_group, cadre_attempt, cadre_delay … on copies for one group
 *   key                         the event's key: it chooses the partition
 *
 * Written as the options say, which is CloudEvents in binary mode unless they do; read in whatever
 * format they came, so that others may publish any.
 */
import type { Position, Recorded } from "../../bus/transport.ts";
import type { WireChoice } from "../../core/codec/wire-choice.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";

/** What of a message makes an event. */
export interface KafkaMessageContent {
  readonly value: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** How events are written on a topic. */
export interface KafkaFormat {
  /** @throws {CadreError} TOO_LARGE, when value and headers together are over the limit */
  encode(event: AgentEvent, limits: { readonly maxBytes: number }): KafkaMessageContent;
  /**
   * @param limits.receivedAt Unix milliseconds at which the broker took it, for a message without a
   * time of its own
   * @throws when the message holds no event
   */
  decode(
    message: KafkaMessageContent,
    limits: { readonly maxBytes: number; readonly receivedAt: number },
  ): AgentEvent;
}

/** The format that the options choose; reading takes whatever comes. */
export function kafkaFormat(wire: WireChoice): KafkaFormat {
  return {
    encode(event, limits) {
      const { body, contentType, headers } = wire.encode(event, limits);
      assertFits(headers, body, limits.maxBytes);
      return { headers: { ...headers, "content-type": contentType }, value: body };
    },
    decode({ value, headers }, limits) {
      const contentType = headers["content-type"] ?? spelledOtherwise(headers);
      const message = { headers, body: value };
      return wire.decode(contentType === undefined ? message : { ...message, contentType }, limits);
    },
  };
}

function spelledOtherwise(headers: Readonly<Record<string, string>>): string | undefined {
  for (const name in headers) if (name.toLowerCase() === "content-type") return headers[name];
  return undefined;
}

function assertFits(
  headers: Readonly<Record<string, string>>,
  data: Uint8Array,
  maxBytes: number,
): void {
  let units = 0;
  let count = 0;
  for (const name in headers) {
    units += name.length + headers[name]!.length;
    count += 1;
  }
  if (data.length + 3 * units + 8 * count <= maxBytes) return; // a unit is three bytes at most
  let bytes = data.length;
  for (const [name, value] of Object.entries(headers)) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value) + 8;
  }
  if (bytes <= maxBytes) return;
  const message =
    `The event takes ${bytes} bytes, and ${maxBytes} are the most here. ` +
    "Make it smaller, or publish a reference to what it carries.";
  throw new CadreError("TOO_LARGE", message, { bytes, maxBytes });
}

/** A message as it was read. */
export interface LogRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Unix milliseconds, of the broker or of the publisher, as the topic is set. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  /** Nothing is a tombstone. */
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** A message as it is written. */
export interface LogMessage {
  readonly topic: string;
  readonly partition: number;
  readonly key?: string;
  /** Nothing is a tombstone. */
  readonly value: Uint8Array | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

export const headerOf = {
  group: "cadre_group",
  attempt: "cadre_attempt",
  /** Milliseconds from the message's own time after which it is due. */
  delay: "cadre_delay",
  /** Where the first of it lies. */
  position: "cadre_position",
  recordedAt: "cadre_recorded_at",
} as const;

/** Room for the headers of a copy, and for what a dead letter adds to its event. */
export const reservedBytes = 16_384;

/**
 * The place of a record, with its time and the event's id: so places of different partitions can be
 * told apart as well as two clocks allow.
 */
export interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly id: string;
}

export function toPosition({ timestamp, partition, offset, topic, id }: Place): Position {
  const part = String(partition).padStart(5, "0");
  return `${topic}/${part}/${String(offset).padStart(16, "0")}/${timestamp}/${id}`;
}

/** @throws {CadreError} INVALID_OPTION */
export function fromPosition(position: Position): Place {
  const parts = /^([\w.-]{1,249})\/(\d{5,10})\/(\d{16})\/(\d{1,16})\/(.*)$/s.exec(position);
  if (parts) {
    const [, topic, partition, offset, timestamp, id] = parts;
    return {
      topic: topic!,
      partition: Number(partition),
      offset: Number(offset),
      timestamp: Number(timestamp),
      id: id!,
    };
  }
  const message = `"${position}" is no position of the Kafka transport. Give one that it has made.`;
  throw new CadreError("INVALID_OPTION", message, { option: "position", value: position });
}

/** Whether `left` lies before `right`: by offset in one partition, else by time, then by id. */
export function compareRecords(left: Read, right: Read): number {
  const a = left.record;
  const b = right.record;
  if (a.topic === b.topic && a.partition === b.partition) return a.offset - b.offset;
  if (a.timestamp !== b.timestamp) return a.timestamp - b.timestamp;
  return compareIds(left.recorded.event?.id ?? "", right.recorded.event?.id ?? "");
}

export function compareWithPlace({ record, recorded }: Read, place: Place): number {
  if (record.topic === place.topic && record.partition === place.partition) {
    return record.offset - place.offset;
  }
  if (record.timestamp !== place.timestamp) return record.timestamp - place.timestamp;
  return compareIds(recorded.event?.id ?? "", place.id);
}

function compareIds(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** A record, and what it holds. */
export interface Read {
  readonly record: LogRecord;
  readonly recorded: Recorded;
}

const nothing = Buffer.alloc(0);

/** What a record holds. A copy for one group has the position of the first. */
export function toRead(record: LogRecord, format: KafkaFormat): Read {
  const { headers, timestamp } = record;
  const value = record.value ?? nothing;
  const kept = headers[headerOf.position];
  const recordedAt = Number(headers[headerOf.recordedAt] ?? timestamp);
  try {
    const limits = { maxBytes: Infinity, receivedAt: recordedAt }; // the broker has its own limit
    const event = format.decode({ value, headers }, limits);
    const position = kept ?? toPosition({ ...record, id: event.id });
    return { record, recorded: { position, recordedAt, event } };
  } catch (error) {
    const position = kept ?? toPosition({ ...record, id: "" });
    const undecodable = { bytes: value, reason: describeError(error).message };
    return { record, recorded: { position, recordedAt, undecodable } };
  }
}
