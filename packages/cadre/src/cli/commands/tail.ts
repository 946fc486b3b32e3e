import type { Command } from "commander";

import { assertPattern } from "../../core/pattern.ts";
import { parseFilter } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { eventLine } from "../event-line.ts";
import { withBus, type HomeFlags } from "../home.ts";
import { wholeFrom } from "../arguments.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface TailFlags extends HomeFlags {
  readonly filter?: string;
  readonly limit?: number;
  readonly json?: boolean;
}

/** `cadre tail` */
export function addTail(program: Command, context: CommandContext): void {
  const command = program.command("tail").summary("follow events as they are published");
  command
    .description("Follows events as they are published, one a line, until Ctrl-C.")
    .argument("[pattern]", "types to follow: * is one word, # any number", "#")
    .option("--filter <json>", `a content filter: '{"payload.agent":"reader"}'`)
    .option("--limit <number>", "end after so many", wholeFrom(1));
  printing(homeFlags(command), [
    "cadre tail",
    'cadre tail "task.*"',
    'cadre tail "agent.#" --json --store sqlite:./team.db',
  ]);
  command.action((pattern: string, flags: TailFlags) => tail(context, pattern, flags));
}

async function tail(context: CommandContext, pattern: string, flags: TailFlags): Promise<void> {
  const { clock, output } = context;
  assertPattern(pattern);
  const filter = flags.filter === undefined ? undefined : parseFilter(flags.filter).document;
  const follow = async (bus: Parameters<Parameters<typeof withBus>[2]>[0]): Promise<void> => {
    const events = bus.listen(pattern, {
      signal: context.stop,
      ...(filter ? { filter } : {}),
    });
    await events.ready;
    if (!flags.json) output.note(`Following ${pattern}; Ctrl-C ends it.`);
    let count = 0;
    for await (const event of events) {
      await (flags.json ? output.json(event) : output.line(eventLine(output, event, clock.now())));
      count += 1;
      if (count === flags.limit) break;
    }
  };
  await withBus(context, flags, follow, { creates: true });
}
