/**
 * Large payloads by reference: the claim check of enterprise integration patterns.
 *
 *   payload over the size ─▶ blob store ─▶ event with a reference ─▶ carrier ─▶ payload again
 *
 * The reference is the CloudEvents extension `dataref`; the payload that travels says what it
 * stands for, so that a reader who knows nothing of it meets a payload that breaks its schema,
 * never one that looks empty.
 */
import type { Commit } from "./commit.ts";
import { CadreError } from "./errors.ts";
import type { AgentEvent } from "./event.ts";
import { freezeJson, toFrozenJson, utf8Bytes, type JsonValue } from "./json.ts";

export interface BlobInfo {
  readonly name: string;
  /** UTF-8. */
  readonly bytes: number;
  /** Unix milliseconds at which it was put the last time. */
  readonly putAt: number;
}

/**
 * Where large payloads are kept, as JSON texts. The name follows from the text: the same text put
 * twice is one blob.
 */
export interface BlobStore {
  /** Resolves with the blob's name when the text is safe. */
  put(text: string): Promise<string>;
  /** `undefined` when there is none. @throws {CadreError} BLOB_CORRUPT */
  get(name: string): Promise<string | undefined>;
  list(): AsyncIterable<BlobInfo>;
  /** False when it was not there, or was put again since `info` was listed. */
  remove(info: BlobInfo): Promise<boolean>;
}

export interface ClaimCheckOptions {
  readonly blobs: BlobStore;
  /** Payloads of more bytes of JSON go to the blob store. @default 262_144 */
  readonly overBytes?: number;
}

const scheme = "cadre-blob:";
const preset = 262_144; // most brokers take a megabyte; a batch of some such events still fits

/** Puts large payloads away and gets them back. */
export class ClaimCheck {
  readonly #blobs: BlobStore;
  readonly #overBytes: number;

  /** @throws {CadreError} INVALID_OPTION */
  constructor({ blobs, overBytes = preset }: ClaimCheckOptions) {
    if (!Number.isSafeInteger(overBytes) || overBytes < 1) {
      throw new CadreError("INVALID_OPTION", "overBytes must be a whole number of bytes from 1.", {
        option: "overBytes",
        value: overBytes,
      });
    }
    this.#blobs = blobs;
    this.#overBytes = overBytes;
  }

  /** The event as it travels. The blob is safe before this resolves. */
  async toReference(event: AgentEvent): Promise<AgentEvent> {
    if (blobOf(event) !== undefined) return event;
    // What JSON cannot carry is refused here as it is by every carrier, not lost on the way.
    const text = JSON.stringify(toFrozenJson(event.payload));
    // A character is one to three bytes: most payloads are known to be small without counting.
    if (text.length * 3 <= this.#overBytes) return event;
    const bytes = utf8Bytes(text);
    if (bytes <= this.#overBytes) return event;
    const dataref = `${scheme}${await this.#blobs.put(text)}`;
    const { metadata } = event;
    return Object.freeze({
      ...event,
      payload: freezeJson({ dataref, bytes }),
      metadata: freezeJson({ ...metadata, extensions: { ...metadata.extensions, dataref } }),
    });
  }

  /** A commit as it is written. */
  async toReferences(commit: Commit): Promise<Commit> {
    const all = (events: readonly AgentEvent[]): Promise<readonly AgentEvent[]> =>
      Promise.all(events.map((event) => this.toReference(event)));
    const { appends, outbox } = commit;
    return {
      ...commit,
      ...(appends && {
        appends: await Promise.all(
          appends.map(async (append) => ({ ...append, events: await all(append.events) })),
        ),
      }),
      ...(outbox && { outbox: await all(outbox) }),
    };
  }

  /**
   * The event with its payload. @throws {CadreError} BLOB_MISSING | BLOB_CORRUPT
   */
  async toPayload(event: AgentEvent): Promise<AgentEvent> {
    const name = blobOf(event);
    if (name === undefined) return event;
    const text = await this.#blobs.get(name);
    if (text === undefined) throw missing(event, name);
    return withPayload(event, freezeJson(JSON.parse(text) as JsonValue));
  }

  /**
   * The same for readers of a long history, who may never look at this event: where there is no
   * blob, looking at the payload throws.
   */
  async toPayloadOrError(event: AgentEvent): Promise<AgentEvent> {
    try {
      return await this.toPayload(event);
    } catch (error) {
      if (!(error instanceof CadreError)) throw error;
      return withoutPayload(event, error);
    }
  }
}

/** The name of the blob that an event refers to. */
export function blobOf(event: AgentEvent): string | undefined {
  const dataref = event.metadata.extensions?.["dataref"];
  if (typeof dataref !== "string" || !dataref.startsWith(scheme)) return undefined;
  return dataref.slice(scheme.length);
}

function missing(event: AgentEvent, blob: string): CadreError<"BLOB_MISSING"> {
  return new CadreError(
    "BLOB_MISSING",
    `The payload of ${event.type} ${event.id} is kept apart, as the blob ${blob}, and the blob ` +
      "store has none of that name. Give the blob store in which it was put.",
    { blob, id: event.id },
  );
}

function withPayload(event: AgentEvent, payload: JsonValue): AgentEvent {
  return Object.freeze({ ...event, payload, metadata: withoutReference(event) });
}

function withoutPayload(event: AgentEvent, error: CadreError): AgentEvent {
  const { id, type, source, timestamp } = event;
  return Object.freeze({
    id,
    type,
    source,
    timestamp,
    get payload(): unknown {
      throw error;
    },
    metadata: event.metadata,
  });
}

function withoutReference({ metadata }: AgentEvent): AgentEvent["metadata"] {
  const { extensions, ...rest } = metadata;
  const { dataref: _dataref, ...others } = extensions ?? {};
  const left = Object.keys(others).length > 0 ? { extensions: Object.freeze(others) } : {};
  return Object.freeze({ ...rest, ...left });
}
