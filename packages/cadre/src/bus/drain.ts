/**
 * The end of a bus, in order.
 *
 *   refuse new work ─▶ stop pulling ─▶ give back what had not started, finish what runs ─▶
 *   fail open requests ─▶ report
 *
 * At the deadline it aborts what runs, and reports all the same.
 */
import type { Clock } from "../core/clock.ts";
import type { DrainReport } from "./bus.ts";
import type { Closing } from "./member.ts";
import type { Publisher } from "./publisher.ts";
import type { Requests } from "./requests.ts";
import type { Subscriptions } from "./subscriptions.ts";

export interface DrainingParts {
  readonly clock: Clock;
  readonly publisher: Publisher;
  readonly requests: Requests;
  readonly subscriptions: Subscriptions;
}

const graceMs = 1_000; // after the deadline, for settling what was aborted

export class Draining {
  readonly #parts: DrainingParts;
  #report: Promise<DrainReport> | undefined;

  constructor(parts: DrainingParts) {
    this.#parts = parts;
  }

  get begun(): boolean {
    return this.#report !== undefined;
  }

  /** Draining twice gives the first report. */
  run(deadlineMs: number | undefined): Promise<DrainReport> {
    this.#report ??= this.#drain(deadlineMs);
    return this.#report;
  }

  async #drain(deadlineMs: number | undefined): Promise<DrainReport> {
    const { clock, publisher, requests, subscriptions } = this.#parts;
    const startedAt = clock.monotonic();
    publisher.drain();
    subscriptions.close();
    const members = subscriptions.members;
    const closings = members.map((member) => member.shutDown(deadlineMs));
    const ended: Closing[] = [];
    let overdue = 0;
    const all = Promise.all(
      closings.map(async (closing) => {
        ended.push(await closing);
      }),
    );
    if (deadlineMs === undefined) await all;
    else
      overdue = await this.#withLimit(
        all,
        deadlineMs + graceMs,
        () => closings.length - ended.length,
      );
    // Last: a handler that runs may still be waiting for an answer.
    const failedRequests = requests.close();
    publisher.close();
    const sum = (part: keyof Closing): number =>
      ended.reduce((total, each) => total + each[part], 0);
    const aborted = sum("aborted") + overdue;
    return {
      finished: sum("finished"),
      aborted,
      released: sum("released"),
      failedRequests,
      clean: aborted === 0,
      elapsedMs: clock.monotonic() - startedAt,
    };
  }

  /** A transport that hangs must not keep the bus from closing. */
  #withLimit(all: Promise<unknown>, limitMs: number, left: () => number): Promise<number> {
    return new Promise((resolve, reject) => {
      const cancel = this.#parts.clock.after(limitMs, () => resolve(left()));
      all.then(
        () => {
          cancel();
          resolve(0);
        },
        (error: unknown) => {
          cancel();
          reject(error);
        },
      );
    });
  }
}
