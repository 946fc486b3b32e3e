import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";

import { CadreError } from "../../core/errors.ts";
import { importLog } from "../../store/log-import.ts";
import type { CommandContext } from "../command-context.ts";
import { withStore } from "../home.ts";
import { readLines } from "../line-file.ts";
import { countText } from "../size-text.ts";
import { printing } from "./home-flags.ts";
import { storeFlags, storeHome, type StoreFlags } from "./store-flags.ts";

interface ImportFlags extends StoreFlags {
  readonly json?: boolean;
}

/** `cadre import` */
export function addImport(program: Command, context: CommandContext): void {
  const command = program.command("import").summary("read an exported log into a store");
  command
    .description(
      "Reads what export wrote into a store, which it makes where there is none. Positions, " +
        "streams, versions, times and seals stay as they are. Doing it again writes only what is " +
        "missing; what does not fit is refused, naming its position.",
    )
    .argument("<file>", "the export; - reads standard input");
  printing(storeFlags(command), [
    "cadre import log.jsonl --store sqlite:./copy.db",
    "zcat log.jsonl.gz | cadre import - --data ./copy",
  ]);
  command.action((file: string, flags: ImportFlags) => run(context, file, flags));
}

async function run(context: CommandContext, file: string, flags: ImportFlags): Promise<void> {
  const { output, cwd, clock, stop } = context;
  if (file !== "-" && !existsSync(resolve(cwd, file))) {
    // Before a store is made for it.
    throw new CadreError("NOT_FOUND", `There is no ${file}.`, { what: "file", id: file });
  }
  await withStore(
    context,
    storeHome(flags, context.cwd),
    async (store) => {
      const lines = readLines(file, cwd);
      const result = await importLog(store, lines, { clock, signal: stop });
      if (flags.json) return output.json(result);
      const { rows, known, seals } = result;
      const there = known > 0 ? `; ${countText(known, "row")} were there already` : "";
      await output.text(
        `Imported ${countText(rows, "row")} and ${countText(seals, "seal")}${there}.`,
      );
    },
    { creates: true },
  );
}
