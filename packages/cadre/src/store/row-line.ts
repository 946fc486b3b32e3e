/**
 * A row of the log as one line of JSON: what an export holds, and what an audit digests. Equal rows
 * have equal lines, whatever store they are in: the members stand in a fixed order, and text and
 * numbers are written as `JSON.stringify` does. `docs/reference/audit-format.md` is the reference.
 */
import { CadreError } from "../core/errors.ts";
import { metadataFields, type AgentEvent, type EventMetadata } from "../core/event.ts";
import { checkEvent } from "./check-commit.ts";
import type { StoredEvent } from "./event-store.ts";

/**
 * The line, without its end.
 * @throws {CadreError} UNDECODABLE, when the store cannot read the payload
 */
export function rowLine(stored: StoredEvent): string {
  const { position, recordedAt, stream, version, event } = stored;
  const { id, type, source, timestamp, payload } = event;
  const metadata: Record<string, unknown> = {};
  for (const field of metadataFields) metadata[field] = event.metadata[field];
  return JSON.stringify({
    position,
    recordedAt,
    stream,
    version,
    private: stored.private ? true : undefined,
    directed: stored.directed ? true : undefined,
    event: { id, type, source, timestamp, payload: payload ?? null, metadata },
  });
}

/**
 * The row of a line that was parsed.
 * @throws {CadreError} INVALID_OPTION | INVALID_EVENT | INVALID_TOPIC | NOT_JSON
 */
export function toRow(value: object): StoredEvent {
  return checkRow(value as StoredEvent); // every member is checked
}

/** A copy of the row, checked. */
export function checkRow(row: StoredEvent): StoredEvent {
  const { position, recordedAt, stream, version } = row;
  if (!Number.isSafeInteger(position) || position < 1) refuse("position", position);
  if (!Number.isFinite(recordedAt)) refuse("recordedAt", recordedAt);
  if (stream !== undefined && (typeof stream !== "string" || stream === "")) {
    refuse("stream", stream);
  }
  const isVersion = Number.isSafeInteger(version) && Number(version) > 0;
  if (stream === undefined ? version !== undefined : !isVersion) refuse("version", version);
  if (typeof row.event !== "object" || row.event === null) refuse("event", row.event);
  if (typeof row.event.metadata !== "object" || row.event.metadata === null) {
    refuse("event.metadata", row.event.metadata);
  }
  const event = inOrder(checkEvent(row.event));
  return Object.freeze({
    position,
    event,
    ...(stream === undefined || version === undefined ? {} : { stream, version }),
    ...(row.private ? { private: true } : {}),
    ...(row.directed ? { directed: true } : {}),
    recordedAt,
  });
}

function inOrder(event: AgentEvent): AgentEvent {
  const metadata: Record<string, unknown> = {};
  for (const field of metadataFields) {
    if (event.metadata[field] !== undefined) metadata[field] = event.metadata[field];
  }
  return Object.freeze({ ...event, metadata: metadata as unknown as EventMetadata }); // all checked
}

function refuse(option: string, value: unknown): never {
  throw new CadreError(
    "INVALID_OPTION",
    `A row's ${option} is ${JSON.stringify(value) ?? String(value)}, which no row can have.`,
    { option, value },
  );
}

/** The error for a row that does not fit into the log. */
export function importConflict(position: number, reason: string): CadreError<"IMPORT_CONFLICT"> {
  return new CadreError(
    "IMPORT_CONFLICT",
    `The row at position ${position} cannot be imported: ${reason}. Nothing of its batch was ` +
      "written. Import into an empty store, or into one that holds the beginning of this log.",
    { position, reason },
  );
}
