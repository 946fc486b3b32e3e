/** When a snapshot is taken, and how many are kept. */
import { CadreError } from "../core/errors.ts";
import { utf8Bytes } from "../core/json.ts";
import { checkOptions, wholeNumber } from "../core/options.ts";
import type { StoredEvent } from "./event-store.ts";

/** One is taken as soon as any of the three conditions holds. At least one must be given. */
export interface SnapshotPolicy {
  /** Once so many events were read since the last one. */
  readonly everyEvents?: number;
  /** Once the last event read was recorded so many milliseconds after the last one's. */
  readonly everyMs?: number;
  /** Once the payloads read since the last one are so many bytes of JSON. */
  readonly everyBytes?: number;
  /**
   * Snapshots kept of one fold, spread evenly over the past, so that looking back needn't fold from
   * the start. At most 100.
   * @default 1 for a stream, 32 for a projection
   */
  readonly keep?: number;
  /**
   * Bytes of all that are kept of one fold. A state that is larger by itself is not kept.
   * @default 64 MiB
   */
  readonly maxBytes?: number;
}

/** @default of `maxBytes`: a cache must not outgrow its log */
export const presetMaxBytes: number = 64 * 1024 * 1024;

/**
 * @param where whose option it is, for the message
 * @throws {CadreError} INVALID_OPTION
 */
export function checkPolicy(where: string, policy: SnapshotPolicy): void {
  checkOptions(`${where}: snapshot`, policy, {
    everyEvents: wholeNumber(1),
    everyMs: wholeNumber(1),
    everyBytes: wholeNumber(1),
    keep: wholeNumber(1, 100),
    maxBytes: wholeNumber(1),
  });
  const { everyEvents, everyMs, everyBytes } = policy;
  if (everyEvents !== undefined || everyMs !== undefined || everyBytes !== undefined) return;
  throw new CadreError(
    "INVALID_OPTION",
    `${where}: a snapshot policy says when. Give everyEvents, everyMs or everyBytes.`,
    { option: "snapshot", value: policy },
  );
}

/** Counts what was read since the last snapshot. */
export class ReadSince {
  readonly #policy: SnapshotPolicy | undefined;
  #start: number | undefined;
  #events = 0;
  #bytes = 0;
  #now = 0;

  constructor(from: { readonly recordedAt: number } | undefined, policy?: SnapshotPolicy) {
    this.#policy = policy;
    this.#start = from?.recordedAt;
  }

  add({ recordedAt, event }: StoredEvent): void {
    this.#events += 1;
    this.#start ??= recordedAt;
    this.#now = recordedAt;
    if (this.#policy?.everyBytes !== undefined) {
      this.#bytes += utf8Bytes(JSON.stringify(event.payload) ?? "");
    }
  }

  isDue(): boolean {
    if (!this.#policy || this.#events === 0) return false;
    const ms = this.#now - (this.#start ?? this.#now);
    const { everyEvents = Infinity, everyMs = Infinity, everyBytes = Infinity } = this.#policy;
    return this.#events >= everyEvents || ms >= everyMs || this.#bytes >= everyBytes;
  }
}
