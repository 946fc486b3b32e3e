import type { Clock } from "../core/clock.ts";
import type { Interrupt } from "./interrupt.ts";
import type { Output } from "./output.ts";

/** What every command is given. */
export interface CommandContext {
  readonly output: Output;
  readonly interrupt: Interrupt;
  readonly clock: Clock;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl-C, and when nobody reads the output any more. */
  readonly stop: AbortSignal;
  /** Sets the exit code of a command that ended well enough not to throw. */
  exit(code: number): void;
}
