import type { Command } from "commander";

import type { CommandContext } from "../command-context.ts";
import { eventLine } from "../event-line.ts";
import { exitCodes } from "../exit-code.ts";
import { withBus, type HomeFlags } from "../home.ts";
import { eventChoice, eventFlags, type EventFlags } from "./event-choice.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface HistoryFlags extends HomeFlags, EventFlags {
  readonly backward?: boolean;
  readonly json?: boolean;
}

/** `cadre history` */
export function addHistory(program: Command, context: CommandContext): void {
  const command = program.command("history").summary("print past events");
  command.description("Prints the events of the past, the oldest first.");
  eventFlags(command).option("--backward", "the newest first");
  printing(homeFlags(command), [
    "cadre history --since 10m",
    'cadre history --type "task.*" --backward --limit 20',
    "cadre history --correlation 019a… --json | jq .payload",
  ]);
  command.action((flags: HistoryFlags) => history(context, flags));
}

async function history(context: CommandContext, flags: HistoryFlags): Promise<void> {
  const { clock, output, stop } = context;
  const now = clock.now();
  const { query, filter, limit } = eventChoice(flags, now);
  await withBus(context, flags, async (bus) => {
    let count = 0;
    for await (const event of bus.history({ ...query, backward: flags.backward ?? false })) {
      if (stop.aborted) break;
      if (filter && !filter.matches(event)) continue;
      await (flags.json ? output.json(event) : output.line(eventLine(output, event, now)));
      count += 1;
      if (count >= limit) break;
    }
    if (context.interrupt.hit) context.exit(exitCodes.interrupted);
    if (count === 0 && !flags.json && !stop.aborted) output.note("No event matches.");
  });
}
