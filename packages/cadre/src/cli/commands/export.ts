import type { Command } from "commander";

import { exportLog } from "../../store/log-export.ts";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-code.ts";
import { withStore } from "../home.ts";
import { writeLines } from "../line-file.ts";
import { countText } from "../size-text.ts";
import { withExamples } from "./home-flags.ts";
import { storeFlags, storeHome, type StoreFlags } from "./store-flags.ts";

/** `cadre export` */
export function addExport(program: Command, context: CommandContext): void {
  const command = program.command("export").summary("write the log as JSON lines");
  command
    .description(
      "Writes the whole log with its seals as JSON lines, into a new file or to standard output. " +
        "Others may write meanwhile.",
    )
    .argument("[file]", "a file that is not there yet");
  withExamples(storeFlags(command), [
    "cadre export log.jsonl",
    "cadre export | gzip > log.jsonl.gz",
  ]);
  command.action((file: string | undefined, flags: StoreFlags) => run(context, file, flags));
}

async function run(
  context: CommandContext,
  file: string | undefined,
  flags: StoreFlags,
): Promise<void> {
  const { output, cwd, stop } = context;
  await withStore(context, storeHome(flags, context.cwd), async (store) => {
    if (file !== undefined) {
      const lines = exportLog(store, { signal: stop });
      output.note(`Exported ${countText(await writeLines(file, cwd, lines), "line")} to ${file}.`);
      return;
    }
    for await (const line of exportLog(store)) {
      if (stop.aborted) break;
      await output.line(line);
    }
    if (context.interrupt.hit) context.exit(exitCodes.interrupted);
  });
}
