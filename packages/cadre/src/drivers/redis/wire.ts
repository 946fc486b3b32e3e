/** Events as entries of a stream, and back: the message lies in the field `event`. */
import type { Position, Recorded, StartFrom } from "../../bus/transport.ts";
import type { WireChoice } from "../../core/codec/wire-choice.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";

/** @throws {CadreError} TOO_LARGE */
export function encodeEvent(event: AgentEvent, wire: WireChoice, maxBytes: number): Buffer {
  const { body } = wire.encode(event, { maxBytes });
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

/** Arguments of a script for one event: key and due time, empty where there is none. */
export function placeArguments({ metadata }: AgentEvent): readonly [string, string] {
  const { key, deliverAt } = metadata;
  return [
    key === undefined ? "" : `=${key}`,
    deliverAt === undefined ? "" : String(Math.ceil(deliverAt)),
  ];
}

const timeDigits = 15;
const numberDigits = 20; // what a stream's id may have

/** Fixed width: positions compare as text. */
export function toPosition(id: string): Position {
  const [time = "", number = ""] = id.split("-");
  return `${time.padStart(timeDigits, "0")}-${number.padStart(numberDigits, "0")}`;
}

/** @throws {CadreError} INVALID_OPTION */
export function fromPosition(position: Position): string {
  const parts = /^0*(\d+)-0*(\d+)$/.exec(position);
  if (parts && position.length === timeDigits + 1 + numberDigits) return `${parts[1]}-${parts[2]}`;
  const message = `"${position}" is no position of the Redis transport. Give one that it has made.`;
  throw new CadreError("INVALID_OPTION", message, { option: "position", value: position });
}

const lastOfTime = "18446744073709551615";

/** The id after which a subscription begins; nothing for what is new. */
export function startId(from: StartFrom): string | undefined {
  if (from === "new") return undefined;
  if (from === "earliest") return "0-0";
  if ("after" in from) return fromPosition(from.after);
  const time = Math.ceil(from.time) - 1;
  return time < 0 ? "0-0" : `${time}-${lastOfTime}`;
}

export function toRecorded(id: string, bytes: Buffer, wire: WireChoice): Recorded {
  const position = toPosition(id);
  const recordedAt = Number(id.split("-", 1)[0]);
  try {
    const limits = { maxBytes: Infinity, receivedAt: recordedAt };
    return { position, recordedAt, event: wire.decode({ body: bytes }, limits) };
  } catch (error) {
    return { position, recordedAt, undecodable: { bytes, reason: describeError(error).message } };
  }
}
