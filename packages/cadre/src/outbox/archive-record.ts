/**
 * What an archive keeps of a delivery: the event itself, or a record of what was there instead.
 *
 *   an event                          itself, in the stream archive/GROUP
 *   bytes that are no event           archive.undecodable, in archive-records/GROUP
 *   another event of an id that is    archive.conflict, in archive-records/GROUP
 *   in the store already
 *
 * A record's id follows from what it holds, so that a delivery that comes again makes the same one.
 */
import { createHash } from "node:crypto";
import type { Recorded } from "../bus/transport.ts";
import type { AgentEvent } from "../core/event.ts";
import { makeEvent } from "../core/event.ts";
import type { Random } from "../core/random.ts";
import type { StoredEvent } from "../store/event-store.ts";

const archives = "archive/";
const records = "archive-records/";
export const undecodableType = "archive.undecodable";
export const conflictType = "archive.conflict";

export function archiveStream(group: string): string {
  return `${archives}${group}`;
}

export function recordStream(group: string): string {
  return `${records}${group}`;
}

export interface UndecodableRecord {
  readonly reason: string;
  /** Base64. */
  readonly bytes: string;
  readonly position: string;
}

export interface ConflictRecord {
  readonly event: AgentEvent;
}

export function undecodableRecord(recorded: Recorded, group: string, random: Random): AgentEvent {
  const { position, recordedAt, undecodable } = recorded;
  const bytes = Buffer.from(undecodable?.bytes ?? new Uint8Array()).toString("base64");
  const payload: UndecodableRecord = { reason: undecodable?.reason ?? "nothing", bytes, position };
  const id = `archive-${digest(`${position} ${bytes}`)}`;
  return record(random, recordedAt, undecodableType, payload, id, group);
}

/** A first one has the id; this one had it, too. */
export function conflictRecord(event: AgentEvent, group: string, random: Random): AgentEvent {
  const payload: ConflictRecord = { event };
  const id = `archive-${digest(JSON.stringify(event))}`;
  return record(random, event.timestamp, conflictType, payload, id, group);
}

function record(
  random: Random,
  timestamp: number,
  type: string,
  payload: object,
  id: string,
  group: string,
): AgentEvent {
  return makeEvent(random, timestamp, type, payload, { id }, group, undefined);
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 40);
}

/**
 * What a stored event says about a broker's past: nothing where it never passed one.
 *
 * Events that a store's own relay tells the bus are kept where they were written first; what was
 * kept from the bus, or meant for one group alone, did not pass.
 */
export function passed(stored: StoredEvent): Recorded | undefined {
  const { event, stream = "", recordedAt } = stored;
  const position = toArchivePosition(stored.position);
  if (stored.directed) return undefined;
  if (stream.startsWith(records)) {
    if (event.type === conflictType) {
      return { position, recordedAt, event: (event.payload as ConflictRecord).event };
    }
    const { bytes, reason } = event.payload as UndecodableRecord;
    return { position, recordedAt, undecodable: { bytes: Buffer.from(bytes, "base64"), reason } };
  }
  if (stored.private && !stream.startsWith(archives)) return undefined;
  return { position, recordedAt, event };
}

const digits = 16; // what a safe integer has

/** Fixed width: they compare as text. */
export function toArchivePosition(position: number): string {
  return String(position).padStart(digits, "0");
}
