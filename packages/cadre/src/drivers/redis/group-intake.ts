import type { Intake, Lease } from "../../bus/transport.ts";
import type { GroupHub, Puller } from "./group-hub.ts";

/** A member of a group. */
export class GroupIntake implements Intake {
  readonly #hub: GroupHub;
  readonly #leaseMs: number;
  readonly #onClose: (intake: GroupIntake) => void;
  readonly #pulls = new Set<Puller>();
  #closed = false;

  constructor(hub: GroupHub, leaseMs: number, onClose: (intake: GroupIntake) => void) {
    this.#hub = hub;
    this.#leaseMs = leaseMs;
    this.#onClose = onClose;
  }

  get hub(): GroupHub {
    return this.#hub;
  }

  pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    if (this.#closed || signal.aborted || max < 1) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const abort = (): void => this.#hub.remove(puller);
      const end = (): void => {
        signal.removeEventListener("abort", abort);
        this.#pulls.delete(puller);
      };
      const puller: Puller = {
        max,
        leaseMs: this.#leaseMs,
        resolve: (leases) => {
          end();
          resolve(leases);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      this.#pulls.add(puller);
      signal.addEventListener("abort", abort, { once: true });
      this.#hub.add(puller);
    });
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const puller of [...this.#pulls]) this.#hub.remove(puller);
      this.#onClose(this);
    }
    return Promise.resolve();
  }
}
