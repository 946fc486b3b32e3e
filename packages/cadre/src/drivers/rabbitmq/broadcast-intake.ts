import { BroadcastLease } from "../../bus/broadcast-lease.ts";
import type { Intake, Lease } from "../../bus/transport.ts";
import { compilePattern } from "../../core/pattern.ts";
import { isMarker, type LogCursor } from "./log-cursor.ts";
import type { Settings } from "./rabbitmq-options.ts";
import { offsetOf, toRecorded } from "./wire.ts";

/**
 * A broadcast: the tail of the log from a fixed position. The log is the queue, so a slow reader
 * misses nothing but what the log itself has dropped.
 */
export class BroadcastIntake implements Intake {
  readonly #cursor: LogCursor;
  readonly #settings: Pick<Settings, "clock" | "wire">;
  readonly #matchers: readonly ((type: string) => boolean)[];
  readonly #onClose: (intake: BroadcastIntake) => void;

  constructor(
    cursor: LogCursor,
    settings: Pick<Settings, "clock" | "wire">,
    patterns: readonly string[],
    onClose: (intake: BroadcastIntake) => void,
  ) {
    this.#cursor = cursor;
    this.#settings = settings;
    this.#matchers = patterns.map((pattern) => compilePattern(pattern));
    this.#onClose = onClose;
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    while (max >= 1) {
      const messages = await this.#cursor.next(max, signal);
      if (messages.length === 0) return [];
      const leases: Lease[] = [];
      for (const message of messages) {
        if (isMarker(message)) continue;
        const recorded = toRecorded(message, this.#settings, offsetOf(message));
        const { event } = recorded;
        if (event && !this.#matchers.some((matches) => matches(event.type))) continue;
        leases.push(new BroadcastLease(recorded));
      }
      if (leases.length > 0) return leases;
    }
    return [];
  }

  close(): Promise<void> {
    this.#onClose(this);
    return this.#cursor.close();
  }
}
