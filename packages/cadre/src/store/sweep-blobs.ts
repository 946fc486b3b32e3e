import { blobOf, type BlobStore } from "../core/claim-check.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import type { AgentEvent } from "../core/event.ts";
import { CadreError } from "../core/errors.ts";
import type { EventStore } from "./event-store.ts";

export interface SweepBlobsOptions {
  /** The log whose events refer to the blobs: the store itself, not its claim check. */
  readonly store: EventStore;
  readonly blobs: BlobStore;
  /**
   * Younger blobs stay: their events may be on their way. At least a minute. @default 86_400_000
   */
  readonly olderThanMs?: number;
  /** Events beside the log that may refer to blobs, such as those of dead letters. */
  readonly alsoUsedBy?: AsyncIterable<AgentEvent> | Iterable<AgentEvent>;
  readonly clock?: Clock;
}

export interface SweptBlobs {
  readonly removed: number;
  readonly removedBytes: number;
  readonly kept: number;
}

const day = 86_400_000;
const shortest = 60_000;

/**
 * Removes the blobs that no event refers to any more, after retention has taken the events out of
 * the log. Reads the whole log once. Only for blob stores that this log alone uses.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export async function sweepBlobs(options: SweepBlobsOptions): Promise<SweptBlobs> {
  const { store, blobs, olderThanMs = day, alsoUsedBy = [], clock = systemClock } = options;
  if (!(olderThanMs >= shortest)) {
    throw new CadreError("INVALID_OPTION", `olderThanMs must be at least ${shortest}.`, {
      option: "olderThanMs",
      value: olderThanMs,
    });
  }
  // Listed before the log is read: what is put from now on is not even looked at.
  const before = clock.now() - olderThanMs;
  const old = [];
  let kept = 0;
  for await (const blob of blobs.list()) {
    if (blob.putAt < before) old.push(blob);
    else kept += 1;
  }
  const used = new Set<string>();
  if (old.length > 0) {
    for await (const { event } of store.read()) note(used, event);
    for await (const event of alsoUsedBy) note(used, event);
  }
  let removed = 0;
  let removedBytes = 0;
  for (const blob of old) {
    if (used.has(blob.name) || !(await blobs.remove(blob))) {
      kept += 1;
      continue;
    }
    removed += 1;
    removedBytes += blob.bytes;
  }
  return { removed, removedBytes, kept };
}

function note(used: Set<string>, event: AgentEvent): void {
  const name = blobOf(event);
  if (name !== undefined) used.add(name);
}
