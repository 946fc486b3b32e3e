/**
 * What is asked of the writer: one request is written whole or refused, whatever its neighbours do.
 */
import type { InboxMark, SlotWrite } from "../../core/commit.ts";
import type { EncodedEvent } from "./event-rows.ts";

export interface WriteAppend {
  readonly stream: string;
  readonly expectedVersion: number | "any";
  readonly events: readonly EncodedEvent[];
  readonly flags: number;
}

export interface WriteRequest {
  readonly appends: readonly WriteAppend[];
  /** Events that belong to no stream. */
  readonly loose: readonly EncodedEvent[];
  /** Of all in `loose`. */
  readonly looseFlags?: number;
  readonly slots: readonly SlotWrite[];
  readonly inbox: readonly InboxMark[];
  readonly removals: readonly number[];
  /**
   * Handed to the function `settle_guard` in the same transaction, when everything else of the
   * request has been found good; if that does not answer `ok`, the request is refused.
   */
  readonly guard?: string;
}

export type WriteOutcome =
  | {
      readonly kind: "written";
      /** Of the events in `loose`, in their order. */
      readonly positions: readonly number[];
      /** After each append. */
      readonly versions: readonly number[];
      /** The last position that the request wrote; the head of the log when it wrote no event. */
      readonly position: number;
      /** Unix milliseconds by the server's clock: `recordedAt` of what was written. */
      readonly at: number;
    }
  /** Nothing was written: at least one of the ids is in the log. */
  | { readonly kind: "known" }
  /** Nothing was written: what `settle_guard` answered. */
  | { readonly kind: "guarded"; readonly verdict: string };

/** A request that only appends events to the log. */
export function looseRequest(events: readonly EncodedEvent[], flags = 0): WriteRequest {
  return { appends: [], loose: events, looseFlags: flags, slots: [], inbox: [], removals: [] };
}

/** The events of a request, in the order of their positions. */
export function eventsOf({ appends, loose }: WriteRequest): readonly EncodedEvent[] {
  if (appends.length === 0) return loose;
  return [...appends.flatMap(({ events }) => events), ...loose];
}
