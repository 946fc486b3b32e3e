import type { Recorded } from "../../bus/transport.ts";
import { CadreError, isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { freezeJson } from "../../core/json.ts";
import type { Row } from "./client.ts";
import { decodeEvent, payloadText } from "./event-rows.ts";

const digits = 16; // as many as the largest safe integer has: positions compare as strings, too

export function toPosition(position: number): string {
  return String(position).padStart(digits, "0");
}

/** @throws {CadreError} INVALID_OPTION, when it is no position of a log */
export function fromPosition(position: string): number {
  if (typeof position === "string" && /^\d{16}$/.test(position)) return Number(position);
  throw new CadreError(
    "INVALID_OPTION",
    `"${position}" is no position of a log. Give one that the log reported.`,
    { option: "position", value: position },
  );
}

/** The event of a row of `eventSelection`, or what is wrong with it. */
export function toRecorded(row: Row): Recorded {
  const position = toPosition(Number(row[0]));
  const recordedAt = Number(row[1]);
  try {
    return { position, recordedAt, event: decodeEvent(row) };
  } catch (error) {
    if (!isCadreError(error, "UNDECODABLE")) throw error;
    const bytes = Buffer.from(payloadText(row));
    return { position, recordedAt, undecodable: { bytes, reason: error.details.reason } };
  }
}

/** What a delivery holds whose event was taken out of the log. */
export function missing(position: number): Recorded {
  const reason = "the event is no longer in the log";
  const undecodable = { bytes: new Uint8Array(), reason };
  return { position: toPosition(position), recordedAt: 0, undecodable };
}

/** The event as it was directed to a group, where that is not what the log has: `own` is JSON. */
export function overriding({ position, recordedAt }: Recorded, own: string): Recorded {
  const event = freezeJson(JSON.parse(own)) as AgentEvent; // written from an event
  return { position, recordedAt, event };
}
