import type { Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";

/**
 * Runs something within its time; without one, for as long as it takes. What is late is left.
 *
 * @throws {CadreError} TIMEOUT
 */
export async function withinTime<Result>(
  clock: Clock,
  timeoutMs: number | undefined,
  what: string,
  run: () => Promise<Result> | Result,
): Promise<Result> {
  if (timeoutMs === undefined) return run();
  let cancel = (): void => {};
  const timeout = new Promise<never>((_resolve, reject) => {
    cancel = clock.after(timeoutMs, () => {
      const message = `${what} took longer than ${timeoutMs} ms.`;
      reject(new CadreError("TIMEOUT", message, { what, timeoutMs }));
    });
  });
  try {
    return await Promise.race([run(), timeout]);
  } finally {
    cancel();
  }
}

/** Resolves when `ending` has, however it ends, or after `ms`. */
export async function atMost(clock: Clock, ms: number, ending: Promise<unknown>): Promise<void> {
  let cancel = (): void => {};
  const late = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve);
  });
  const ended = ending.then(
    () => undefined,
    () => undefined,
  );
  await Promise.race([ended, late]);
  cancel();
}

/** Something that a handler may have begun and not waited for: how it ends is no alarm then. */
export function unheard<Result>(ending: Promise<Result>): Promise<Result> {
  ending.catch(() => undefined);
  return ending;
}

/** What nobody waits for: the handler that gets it is left behind. */
export function never(): Promise<never> {
  return new Promise(() => {});
}
