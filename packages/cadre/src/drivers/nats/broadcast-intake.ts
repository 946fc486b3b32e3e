import { BroadcastLease } from "../../bus/broadcast-lease.ts";
import type { Intake, Lease } from "../../bus/transport.ts";
import type { WireChoice } from "../../core/codec/wire-choice.ts";
import type { LogCursor } from "./log-cursor.ts";
import { toRecorded } from "./wire.ts";

/**
 * A broadcast: the tail of the log from a fixed position. The log is the queue, so a slow reader
 * misses nothing but what the stream itself has dropped.
 */
export class BroadcastIntake implements Intake {
  readonly #cursor: LogCursor;
  readonly #wire: WireChoice;
  readonly #onClose: (intake: BroadcastIntake) => void;

  constructor(cursor: LogCursor, wire: WireChoice, onClose: (intake: BroadcastIntake) => void) {
    this.#cursor = cursor;
    this.#wire = wire;
    this.#onClose = onClose;
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    if (max < 1) return [];
    const entries = await this.#cursor.next(max, signal);
    return entries.map(
      ({ message, info }) => new BroadcastLease(toRecorded(message, info, this.#wire)),
    );
  }

  close(): Promise<void> {
    this.#onClose(this);
    return this.#cursor.close();
  }
}
