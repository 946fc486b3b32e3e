import type { Command } from "commander";

import { CadreError } from "../../core/errors.ts";
import { nearestName } from "../../core/options.ts";

/** Adds the flags that say which store and bus a command works on. */
export function homeFlags(command: Command): Command {
  return command
    .option(
      "--store <url>",
      "the store: sqlite:PATH or postgres://HOST/DATABASE (preset: sqlite:.cadre/team.db)",
    )
    .option(
      "--bus <url>",
      "the bus, where it is not the store's own log: nats://, redis:// or amqp://HOST:PORT",
    );
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

/**
 * For the command that runs when none of its siblings is named: a word behind it is a sibling's
 * name, written wrong.
 * @throws {CadreError} INVALID_OPTION
 */
export function refuseWords(command: Command): void {
  const [word] = command.args;
  const { parent } = command;
  if (word === undefined || !parent) return;
  const names = parent.commands.map((each) => each.name());
  const closest = nearestName(word, names);
  const hint =
    closest === undefined ? `Its commands: ${names.join(", ")}.` : `Did you mean ${closest}?`;
  const message = `"cadre ${parent.name()}" has no command "${word}". ${hint}`;
  throw new CadreError("INVALID_OPTION", message, { option: parent.name(), value: word });
}
