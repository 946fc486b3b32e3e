/** `cadre projections`: how far the projections of a store are. */
import type { Command } from "commander";

import { checkpointPrefix } from "../../store/checkpoint.ts";
import type { CommandContext } from "../command-context.ts";
import { withStore, type HomeFlags } from "../home.ts";
import { tableLines, type Column } from "../table.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface ProjectionFlags extends HomeFlags {
  readonly json?: boolean;
}

interface ProjectionRow {
  readonly name: string;
  readonly version: number;
  readonly position: number;
  readonly lag: number;
  readonly bytes: number;
}

/** `cadre projections` */
export function addProjections(program: Command, context: CommandContext): void {
  const command = program.command("projections").summary("list projections, and their checkpoints");
  command.description(
    "Lists the projections that keep a checkpoint in the store, with its position and how far it " +
      "is behind the log. A running projection may be further than its checkpoint.",
  );
  printing(homeFlags(command), ["cadre projections", "cadre projections --json"]);
  command.action((flags: ProjectionFlags) => listProjections(context, flags));
}

async function listProjections(context: CommandContext, flags: ProjectionFlags): Promise<void> {
  const { output } = context;
  await withStore(context, flags, async (store) => {
    const head = await store.head();
    const slots = await store.slots(checkpointPrefix);
    const rows = slots.flatMap(({ name, value }) => rowOf(name, value, head));
    if (flags.json) for (const row of rows) await output.json(row);
    else if (rows.length === 0) output.note("No projection has a checkpoint in this store.");
    else await output.lines(tableLines(output, columns, rows));
  });
}

function rowOf(slot: string, value: string, head: number): readonly ProjectionRow[] {
  try {
    const { version, position } = JSON.parse(value) as { version: number; position: number };
    const lag = Math.max(0, head - position);
    const name = slot.slice(checkpointPrefix.length);
    return [{ name, version, position, lag, bytes: Buffer.byteLength(value) }];
  } catch {
    return []; // a checkpoint that nobody can read is as good as none
  }
}

const columns: readonly Column<ProjectionRow>[] = [
  { title: "projection", text: ({ name }) => name, least: 10, style: () => "cyan" },
  { title: "version", text: ({ version }) => String(version), align: "right" },
  { title: "position", text: ({ position }) => String(position), align: "right" },
  { title: "behind", text: ({ lag }) => String(lag), align: "right" },
  { title: "bytes", text: ({ bytes }) => String(bytes), align: "right" },
];
