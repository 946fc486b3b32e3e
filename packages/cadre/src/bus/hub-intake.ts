import type { Intake, Lease } from "./transport.ts";

/** A pull that waits. */
export interface Pull {
  readonly max: number;
  readonly leaseMs: number;
  /** Ends the wait. */
  readonly resolve: (leases: readonly Lease[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Where the pulls of a group's members on one connection wait, to be served together. */
export interface PullHub {
  add(pull: Pull): void;
  /** The pull was aborted, or its intake closed: it ends with nothing, if it still waits. */
  remove(pull: Pull): void;
}

/** A member of a group whose pulls wait at a hub. */
export class HubIntake<Hub extends PullHub> implements Intake {
  readonly hub: Hub;
  readonly #leaseMs: number;
  readonly #onClose: (intake: HubIntake<Hub>) => void;
  readonly #pulls = new Set<Pull>();
  #closed = false;

  constructor(hub: Hub, leaseMs: number, onClose: (intake: HubIntake<Hub>) => void) {
    this.hub = hub;
    this.#leaseMs = leaseMs;
    this.#onClose = onClose;
  }

  pull(max: number, signal: AbortSignal): Promise<readonly Lease[]> {
    if (this.#closed || signal.aborted || max < 1) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const abort = (): void => this.hub.remove(pull);
      const end = (): void => {
        signal.removeEventListener("abort", abort);
        this.#pulls.delete(pull);
      };
      const pull: Pull = {
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
      this.#pulls.add(pull);
      signal.addEventListener("abort", abort, { once: true });
      this.hub.add(pull);
    });
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const pull of [...this.#pulls]) this.hub.remove(pull);
      this.#onClose(this);
    }
    return Promise.resolve();
  }
}
