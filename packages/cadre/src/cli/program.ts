/** The commands and their flags. */
import { Command } from "commander";

import type { CommandContext } from "./command-context.ts";
import { addAgents } from "./commands/agents.ts";
import { addArchive } from "./commands/archive.ts";
import { addDeadLetters } from "./commands/dead-letters.ts";
import { addDesk } from "./commands/desk.ts";
import { addFlows } from "./commands/flows.ts";
import { addGroups } from "./commands/groups.ts";
import { addHistory } from "./commands/history.ts";
import { addBackup } from "./commands/backup.ts";
import { addExport } from "./commands/export.ts";
import { addImport } from "./commands/import.ts";
import { addRetain } from "./commands/retain.ts";
import { addBudgets } from "./commands/budgets.ts";
import { addUsage } from "./commands/usage.ts";
import { addVerify } from "./commands/verify.ts";
import { withExamples } from "./commands/home-flags.ts";
import { addOutbox } from "./commands/outbox.ts";
import { addProposals } from "./commands/proposals.ts";
import { addPublish } from "./commands/publish.ts";
import { addProjections } from "./commands/projections.ts";
import { addReplay } from "./commands/replay.ts";
import { addRun } from "./commands/run.ts";
import { addSagas } from "./commands/sagas.ts";
import { addSchedules } from "./commands/schedules.ts";
import { addSchemas } from "./commands/schemas.ts";
import { addState } from "./commands/state.ts";
import { addTail } from "./commands/tail.ts";
import { addTasks } from "./commands/tasks.ts";

const widestHelp = 100; // wider lines are hard to read

const narrowestText = 16; // columns beside the flags below which text is better left unfolded

/** Makes the program. Errors of usage reject its `parseAsync`; nothing ends the process. */
export function createProgram(context: CommandContext, version: string): Command {
  const { output } = context;
  const program = new Command("cadre");
  const helpWidth = (): number => Math.min(output.width, widestHelp);
  program
    .description("Runs teams of agents, and looks after them.")
    .version(version, "--version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help for a command")
    .configureOutput({
      getOutHelpWidth: helpWidth,
      getErrHelpWidth: helpWidth,
      writeOut: (text) => void output.line(text.trimEnd()),
      writeErr: (text) => output.note(text.trimEnd().replace(/^error: /, "cadre: ")),
    })
    .configureHelp({ minWidthToWrap: narrowestText, subcommandTerm: (command) => command.name() })
    .showSuggestionAfterError(true)
    .exitOverride();
  withExamples(program, [
    "cadre demo",
    "cadre run team.ts",
    'cadre tail "task.*"',
    "cadre tasks --status failed",
  ]);
  addDesk(program, context);
  addRun(program, context);
  addPublish(program, context);
  addTail(program, context);
  addHistory(program, context);
  addReplay(program, context);
  addDeadLetters(program, context);
  addGroups(program, context);
  addOutbox(program, context);
  addAgents(program, context);
  addTasks(program, context);
  addFlows(program, context);
  addSagas(program, context);
  addProposals(program, context);
  addSchedules(program, context);
  addState(program, context);
  addProjections(program, context);
  addSchemas(program, context);
  addBudgets(program, context);
  addUsage(program, context);
  addVerify(program, context);
  addExport(program, context);
  addImport(program, context);
  addBackup(program, context);
  addArchive(program, context);
  addRetain(program, context);
  return program;
}
