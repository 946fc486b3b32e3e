import { resolve } from "node:path";
import type { Command } from "commander";

import { CadreError } from "../../core/errors.ts";
import type { CommandContext } from "../command-context.ts";
import { withStore } from "../home.ts";
import { sizeText } from "../size-text.ts";
import { printing } from "./home-flags.ts";
import { storeFlags, storeHome, type StoreFlags } from "./store-flags.ts";

interface BackupFlags extends StoreFlags {
  readonly json?: boolean;
}

/** `cadre backup` */
export function addBackup(program: Command, context: CommandContext): void {
  const command = program.command("backup").summary("copy the store while others write");
  command
    .description(
      "Copies the store, as it is at one moment, into a new file, while others write. The copy " +
        "is a store like any other.",
    )
    .argument("<file>", "a file that is not there yet");
  printing(storeFlags(command), ["cadre backup team-2026-11-21.db"]);
  command.action((file: string, flags: BackupFlags) => backup(context, file, flags));
}

async function backup(context: CommandContext, file: string, flags: BackupFlags): Promise<void> {
  const { output, cwd } = context;
  await withStore(context, storeHome(flags, context.cwd), async (store) => {
    if (!store.backup) {
      throw new CadreError(
        "UNSUPPORTED",
        `${store.name} has tools of its own for backups (pg_dump for PostgreSQL). "cadre export" writes the log of any store.`,
        { feature: "backup", by: store.name },
      );
    }
    const result = await store.backup(resolve(cwd, file));
    if (flags.json) return output.json(result);
    await output.text(
      `Copied the log up to position ${result.head} (${sizeText(result.bytes)}) to ${file}.`,
    );
  });
}
