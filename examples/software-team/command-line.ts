/** What the program is called with. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

export interface Options {
  readonly folder: string;
  readonly chaos: boolean;
  readonly vetoWindowMs?: number;
  readonly ask: boolean;
  readonly json: boolean;
}

const usage = "node main.ts [--data FOLDER] [--chaos] [--window SECONDS] [--ask] [--json]";

/** Ends the program when it is called with what it does not know. */
export function readOptions(): Options {
  try {
    const { data, window, ...flags } = parsed();
    if (window !== undefined && !(Number(window) > 0)) {
      throw new Error(`--window takes seconds, not "${window}"`);
    }
    const folder = resolve(data ?? mkdtempSync(join(tmpdir(), "cadre-software-team-")));
    const seconds = window === undefined ? {} : { vetoWindowMs: Math.ceil(Number(window) * 1_000) };
    return { folder, ...flags, ...seconds };
  } catch (error) {
    console.error(error instanceof Error ? error.message : error, `\n${usage}`);
    process.exit(2);
  }
}

function parsed() {
  const flag = { type: "boolean", default: false } as const;
  const text = { type: "string" } as const;
  return parseArgs({ options: { data: text, window: text, chaos: flag, ask: flag, json: flag } })
    .values;
}
