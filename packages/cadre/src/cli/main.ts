/** The command line: arguments in, text out. `bin/cadre.js` calls it. */
import { readFileSync } from "node:fs";
import { CommanderError } from "commander";

import { systemClock } from "../core/clock.ts";
import type { CommandContext } from "./command-context.ts";
import { errorText, exitCodeOf, exitCodes } from "./exit-code.ts";
import { Interrupt } from "./interrupt.ts";
import { Output, type Sink } from "./output.ts";
import { createProgram } from "./program.ts";

/** What a command is run in. */
export interface Surroundings {
  readonly out: Sink;
  readonly err: Sink;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/**
 * Runs the command that `argv` names, and resolves with the process's exit code. Never rejects.
 *
 * @param surroundings those of the process, unless given
 */
export async function main(
  argv: readonly string[],
  surroundings: Surroundings = ofProcess(),
): Promise<number> {
  const { out, err, env, cwd } = surroundings;
  const output = new Output({ out, err, env });
  const interrupt = new Interrupt();
  let code: number = exitCodes.ok;
  const context: CommandContext = {
    output,
    interrupt,
    clock: systemClock,
    cwd,
    env,
    stop: AbortSignal.any([interrupt.signal, output.gone]),
    exit: (wanted) => void (code = wanted),
  };
  try {
    const program = createProgram(context, version());
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    code = endOf(error, context);
  } finally {
    interrupt.close();
  }
  await output.close();
  return output.gone.aborted ? exitCodes.ok : code;
}

function ofProcess(): Surroundings {
  const { stdout, stderr, env } = process;
  return { out: stdout, err: stderr, env, cwd: process.cwd() };
}

function endOf(error: unknown, { output, interrupt }: CommandContext): number {
  // Commander has said what is wrong; help and version end it with 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (output.gone.aborted) return exitCodes.ok;
  if (interrupt.hit) return exitCodes.interrupted;
  output.note(errorText(error));
  return exitCodeOf(error);
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const { version: found } = JSON.parse(text) as { readonly version: string };
  return found;
}
