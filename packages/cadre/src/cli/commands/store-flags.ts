import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";

import { CadreError } from "../../core/errors.ts";
import type { HomeFlags } from "../home.ts";

/** The flags of a command that works on a store alone. */
export interface StoreFlags {
  readonly store?: string;
  readonly data?: string;
}

const fileName = "team.db"; // as in the preset store

export function storeFlags(command: Command): Command {
  return command
    .option("--store <url>", "the store: sqlite:PATH (preset: sqlite:.cadre/team.db)")
    .option("--data <dir>", `the folder of a store: its ${fileName}, or its only .db file`);
}

/** @throws {CadreError} INVALID_OPTION, when both say which store */
export function storeHome({ store, data }: StoreFlags, cwd: string): HomeFlags {
  if (data === undefined) return store === undefined ? {} : { store };
  if (store === undefined) return { store: `sqlite:${join(data, fileIn(resolve(cwd, data)))}` };
  const message = "Give either --store or --data: both say which store.";
  throw new CadreError("INVALID_OPTION", message, { option: "data", value: data });
}

/** The demonstration's store, for one, has another name. */
function fileIn(folder: string): string {
  if (!existsSync(folder) || existsSync(join(folder, fileName))) return fileName;
  const files = readdirSync(folder).filter((name) => name.endsWith(".db"));
  return files.length === 1 ? files[0]! : fileName;
}
