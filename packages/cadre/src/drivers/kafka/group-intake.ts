import type { Intake, Lease } from "../../bus/transport.ts";
import type { GroupHub } from "./group-hub.ts";

/** One member of a group, as the bus sees it; several on one transport share its hub. */
export class GroupIntake implements Intake {
  readonly hub: GroupHub;
  readonly #leaseMs: number;
  readonly #onClose: (intake: GroupIntake) => void;
  readonly #closer = new AbortController();

  constructor(hub: GroupHub, leaseMs: number, onClose: (intake: GroupIntake) => void) {
    this.hub = hub;
    this.#leaseMs = leaseMs;
    this.#onClose = onClose;
  }

  async pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    if (max < 1 || signal.aborted || this.#closer.signal.aborted) return [];
    return this.hub.pull(max, this.#leaseMs, signal, this.#closer.signal);
  }

  async close(): Promise<void> {
    if (this.#closer.signal.aborted) return;
    this.#closer.abort();
    this.#onClose(this);
    this.hub.left();
  }
}
