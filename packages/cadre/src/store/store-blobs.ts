import { createHash } from "node:crypto";
import type { BlobInfo, BlobStore } from "../core/claim-check.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import type { SlotWrite } from "../core/commit.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import { utf8Bytes } from "../core/json.ts";
import type { EventStore } from "./event-store.ts";

interface BlobRecord {
  readonly bytes: number;
  readonly parts: number;
  readonly putAt: number;
  /** Set when all parts are there; what a crash has left half-written is known by its absence. */
  readonly whole?: true;
}

const partLength = 262_144; // characters: a slot of at most a megabyte
const partsPerCommit = 4;
const freshMs = 60_000; // a record this young need not say again that the blob is in use
const infix = { record: "blob/", part: "blob-part/" } as const;

/**
 * Blobs in the slots of an event store: one place less to look after, where large payloads are few.
 * As safe as the store's commits.
 */
export function storeBlobs(
  store: EventStore,
  { clock = systemClock }: { readonly clock?: Clock } = {},
): BlobStore {
  return new StoreBlobs(store, clock);
}

class StoreBlobs implements BlobStore {
  readonly #store: EventStore;
  readonly #clock: Clock;

  constructor(store: EventStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  async put(text: string): Promise<string> {
    const name = contentName(text);
    for (;;) {
      const known = await this.#record(name);
      const putAt = this.#clock.now();
      if (known?.whole && Math.abs(putAt - known.putAt) < freshMs) return name;
      try {
        await this.#write(name, text, known, putAt);
        return name;
      } catch (error) {
        // Somebody else puts or removes it at the same time: look again.
        if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
      }
    }
  }

  async get(name: string): Promise<string | undefined> {
    const known = await this.#record(name);
    if (!known?.whole) return undefined;
    const texts: string[] = [];
    for (let part = 0; part < known.parts; part += 1) {
      const slot = await this.#store.slot(partName(name, part));
      if (!slot) return undefined; // removed while it was read
      texts.push(slot.value);
    }
    return checked(name, texts.join(""));
  }

  async *list(): AsyncIterable<BlobInfo> {
    for (const { name, value } of await this.#store.slots(infix.record)) {
      const { bytes, putAt } = JSON.parse(value) as BlobRecord;
      yield { name: name.slice(infix.record.length), bytes, putAt };
    }
  }

  async remove({ name, putAt }: BlobInfo): Promise<boolean> {
    const known = await this.#record(name);
    if (!known || known.putAt !== putAt) return false;
    const gone = (slot: string, expectedVersion: number | "any"): SlotWrite => ({
      name: slot,
      expectedVersion,
      value: undefined,
    });
    const parts = Array.from({ length: known.parts }, (_, part) =>
      gone(partName(name, part), "any"),
    );
    try {
      await this.#store.commit({ slots: [gone(infix.record + name, known.version), ...parts] });
      return true;
    } catch (error) {
      if (isCadreError(error, "VERSION_CONFLICT")) return false; // put again meanwhile
      throw error;
    }
  }

  async #record(name: string): Promise<(BlobRecord & { readonly version: number }) | undefined> {
    const slot = await this.#store.slot(infix.record + name);
    return slot && { ...(JSON.parse(slot.value) as BlobRecord), version: slot.version };
  }

  /** Parts first, unless they are there; the record says last that all of them are. */
  async #write(
    name: string,
    text: string,
    known: { readonly whole?: true; readonly version: number } | undefined,
    putAt: number,
  ): Promise<void> {
    const parts = split(text);
    const record = { bytes: utf8Bytes(text), parts: parts.length, putAt };
    let version = known?.version ?? 0;
    if (!known?.whole) {
      version = await this.#writeRecord(name, record, version);
      await writeParts(this.#store, name, parts);
    }
    await this.#writeRecord(name, { ...record, whole: true }, version);
  }

  async #writeRecord(name: string, record: BlobRecord, version: number): Promise<number> {
    const value = JSON.stringify(record);
    const slot = { name: infix.record + name, expectedVersion: version, value };
    await this.#store.commit({ slots: [slot] });
    return version + 1;
  }
}

async function writeParts(
  store: EventStore,
  name: string,
  parts: readonly string[],
): Promise<void> {
  const slots = parts.map((value, part) => ({
    name: partName(name, part),
    expectedVersion: "any" as const,
    value,
  }));
  for (let start = 0; start < slots.length; start += partsPerCommit) {
    await store.commit({ slots: slots.slice(start, start + partsPerCommit) });
  }
}

function partName(name: string, part: number): string {
  return `${infix.part}${name}/${part}`;
}

/** Pieces of a text, no character cut in two. */
function split(text: string): readonly string[] {
  const parts: string[] = [];
  for (let start = 0; start < text.length;) {
    let end = Math.min(start + partLength, text.length);
    const last = text.charCodeAt(end - 1);
    if (end < text.length && last >= 0xd800 && last < 0xdc00) end -= 1; // half of a pair
    parts.push(text.slice(start, end));
    start = end;
  }
  return parts;
}

/** The name of a text: SHA-256 of its UTF-8 bytes. */
export function contentName(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("hex")}`;
}

/** @throws {CadreError} BLOB_CORRUPT, when the text is not what its name says */
export function checked(name: string, text: string): string {
  if (contentName(text) === name) return text;
  throw new CadreError(
    "BLOB_CORRUPT",
    `The blob ${name} has other content than when it was put. Restore it from a backup.`,
    { blob: name },
  );
}
