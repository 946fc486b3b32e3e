import type { Recorded } from "../../bus/transport.ts";
import { CadreError, isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { freezeJson } from "../../core/json.ts";
import type { StoredEvent } from "../../store/event-store.ts";
import type { Row } from "./connection.ts";
import { decodeEvent, eventSelection, eventTables, payloadText } from "./event-rows.ts";
import type { LogFile } from "./sqlite-log.ts";

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
  const recorded = Number(row[1]);
  try {
    return { position, recordedAt: recorded, event: decodeEvent(row) };
  } catch (error) {
    if (!isCadreError(error, "UNDECODABLE")) throw error;
    const bytes = Buffer.from(payloadText(row));
    const reason = error.details.reason;
    return { position, recordedAt: recorded, undecodable: { bytes, reason } };
  }
}

export function fromStored({ position, recordedAt: recorded, event }: StoredEvent): Recorded {
  return { position: toPosition(position), recordedAt: recorded, event };
}

/**
 * What is at `position`; `override` is the event in its place, as JSON, where the log's is not what
 * was sent.
 */
export function recordedAt(file: LogFile, position: number, override?: string): Recorded {
  const recent = override === undefined ? file.recent.at(position) : undefined;
  if (recent) return fromStored(recent);
  const row = file.connection
    .sql(`SELECT ${eventSelection} FROM ${eventTables} WHERE e.position = ?`)
    .get(position);
  if (!row) {
    const bytes = new Uint8Array();
    const reason = "the event is no longer in the log";
    return { position: toPosition(position), recordedAt: 0, undecodable: { bytes, reason } };
  }
  const recorded = toRecorded(row);
  if (override === undefined) return recorded;
  const event = freezeJson(JSON.parse(override)) as AgentEvent; // written from an event
  return { position: recorded.position, recordedAt: recorded.recordedAt, event };
}
