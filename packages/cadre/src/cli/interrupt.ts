/**
 * Ctrl-C, and what else asks a command to stop.
 *
 *   first SIGINT or SIGTERM ──▶ `signal` is aborted: the command ends in order
 *   second                  ──▶ the process ends at once, with 130; the store is whole all the same
 */
import { exitCodes } from "./exit-code.ts";

export class Interrupt {
  readonly #controller = new AbortController();
  readonly #onSignal = (): void => {
    if (this.#controller.signal.aborted) process.exit(exitCodes.interrupted);
    this.#controller.abort();
  };

  constructor() {
    process.on("SIGINT", this.#onSignal);
    process.on("SIGTERM", this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get hit(): boolean {
    return this.#controller.signal.aborted;
  }

  close(): void {
    process.off("SIGINT", this.#onSignal);
    process.off("SIGTERM", this.#onSignal);
  }
}
