import type { Command } from "commander";

/** Adds the flags that say which store and bus a command works on. */
export function homeFlags(command: Command): Command {
  return command
    .option("--store <url>", "the store: sqlite:PATH (preset: sqlite:.cadre/team.db)")
    .option("--bus <url>", "the bus, where it is not the store's own log: nats://HOST:PORT");
}

/** Adds `--json`, and examples under the help. */
export function printing(command: Command, examples: readonly string[]): Command {
  return withExamples(command.option("--json", "print JSON, one value a line"), examples);
}

export function withExamples(command: Command, examples: readonly string[]): Command {
  return command.addHelpText(
    "after",
    `\nExamples:\n${examples.map((each) => `  $ ${each}`).join("\n")}`,
  );
}
