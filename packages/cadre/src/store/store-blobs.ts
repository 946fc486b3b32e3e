import { createHash } from "node:crypto";
import type { BlobInfo, BlobStore } from "../core/claim-check.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import type { SlotWrite } from "../core/commit.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import { utf8Bytes, type JsonValue } from "../core/json.ts";
import { stableJson } from "../core/stable-json.ts";
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
  { clock = systemClock }: { clock?: Clock } = {},
): BlobStore {
  const record = async (name: string): Promise<(BlobRecord & { version: number }) | undefined> => {
    const slot = await store.slot(infix.record + name);
    return slot && { ...(JSON.parse(slot.value) as BlobRecord), version: slot.version };
  };
  const write = async (name: string, value: BlobRecord, version: number): Promise<number> => {
    const text = JSON.stringify(value);
    const slot = { name: infix.record + name, expectedVersion: version, value: text };
    await store.commit({ slots: [slot] });
    return version + 1;
  };
  return {
    async put(text) {
      const name = contentName(text);
      for (;;) {
        const known = await record(name);
        const putAt = clock.now();
        if (known?.whole && Math.abs(putAt - known.putAt) < freshMs) return name;
        const parts = split(text);
        const fresh = { bytes: utf8Bytes(text), parts: parts.length, putAt };
        try {
          let version = known?.version ?? 0;
          if (!known?.whole) {
            version = await write(name, fresh, version);
            await writeParts(store, name, parts);
          }
          await write(name, { ...fresh, whole: true }, version);
          return name;
        } catch (error) {
          // Somebody else puts or removes it at the same time: look again.
          if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
        }
      }
    },
    async get(name) {
      const known = await record(name);
      if (!known?.whole) return undefined;
      const texts: string[] = [];
      for (let part = 0; part < known.parts; part += 1) {
        const slot = await store.slot(partName(name, part));
        // Removed while it was read.
        if (!slot) return undefined;
        texts.push(slot.value);
      }
      return checked(name, texts.join(""));
    },
    async *list() {
      for (const { name, value } of await store.slots(infix.record)) {
        const { bytes, putAt } = JSON.parse(value) as BlobRecord;
        yield { name: name.slice(infix.record.length), bytes, putAt };
      }
    },
    async remove({ name, putAt }: BlobInfo) {
      const known = await record(name);
      if (!known || known.putAt !== putAt) return false;
      const gone = (slot: string): SlotWrite => ({
        name: slot,
        expectedVersion: "any",
        value: undefined,
      });
      const parts = Array.from({ length: known.parts }, (_, part) => gone(partName(name, part)));
      const first = { ...gone(infix.record + name), expectedVersion: known.version };
      try {
        await store.commit({ slots: [first, ...parts] });
        return true;
      } catch (error) {
        if (isCadreError(error, "VERSION_CONFLICT")) return false; // put again meanwhile
        throw error;
      }
    },
  };
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

/** The name of a JSON text: SHA-256 of its value with sorted members. */
export function contentName(text: string): string {
  const value = stableJson(JSON.parse(text) as JsonValue);
  return `sha256-${createHash("sha256").update(value).digest("hex")}`;
}

/** @throws {CadreError} BLOB_CORRUPT, when the text is not what its name says */
export function checked(name: string, text: string): string {
  try {
    if (contentName(text) === name) return text;
  } catch {
    // no JSON any more: the same
  }
  throw new CadreError(
    "BLOB_CORRUPT",
    `The blob ${name} has other content than when it was put. Restore it from a backup.`,
    { blob: name },
  );
}
