import { isCadreError } from "../errors.ts";
import { checkMetadata, metadataFields, type AgentEvent } from "../event.ts";
import type { JsonValue } from "../json.ts";
import { isTopic } from "../topic.ts";
import { undecodable } from "./wire-json.ts";

/** The parts of an event as a decoder found them; none is trusted. */
export interface EventParts {
  readonly id: unknown;
  readonly type: unknown;
  readonly source: unknown;
  readonly timestamp: unknown;
  /** Frozen JSON already. */
  readonly payload: JsonValue | undefined;
  /** By the names of the metadata; absent ones are `undefined`. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/**
 * The border check of every decoder: a frozen event whose every field has its type.
 *
 * @throws {CadreError} UNDECODABLE, naming the field
 */
export function assembleEvent(parts: EventParts): AgentEvent {
  const { id, type, source, timestamp, payload } = parts;
  if (typeof id !== "string" || id === "") throw undecodable("its id is no text");
  if (typeof type !== "string" || !isTopic(type)) throw undecodable("its type is no topic");
  if (typeof source !== "string" || source === "") throw undecodable("its source is no text");
  if (typeof timestamp !== "number" || !Number.isFinite(timestamp)) {
    throw undecodable("its timestamp is no number");
  }
  if (payload === undefined) throw undecodable("it has no payload");
  const metadata: Record<string, unknown> = {};
  for (const field of metadataFields) {
    const value = parts.metadata[field];
    if (value !== undefined) metadata[field] = value;
  }
  for (const field of ["version", "correlationId"]) {
    if (metadata[field] === undefined) throw undecodable(`it has no metadata.${field}`);
  }
  try {
    checkMetadata(metadata);
  } catch (error) {
    if (!isCadreError(error, "INVALID_EVENT")) throw error;
    throw undecodable(`${error.details.field} has an impossible value`, error);
  }
  Object.freeze(metadata);
  const event = { id, type, source, timestamp, payload, metadata };
  // The metadata was built from the list of its fields.
  return Object.freeze(event) as unknown as AgentEvent;
}
