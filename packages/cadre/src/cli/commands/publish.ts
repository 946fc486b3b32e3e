import type { Command } from "commander";

import { builtinEvents } from "../../core/builtin/registry.ts";
import { defineEvents } from "../../core/define-events.ts";
import { priorities, type Priority } from "../../core/event.ts";
import { nearestName } from "../../core/options.ts";
import type { EventRegistry } from "../../core/registry.ts";
import { oneOfWords, parseJson, wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import type { CadreConfig } from "../config.ts";
import { withBus, type HomeFlags } from "../home.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface PublishFlags extends HomeFlags {
  readonly source?: string;
  readonly target?: string;
  readonly key?: string;
  readonly priority?: Priority;
  readonly correlation?: string;
  readonly delay?: number;
  readonly json?: boolean;
}

/** `cadre publish` */
export function addPublish(program: Command, context: CommandContext): void {
  const command = program.command("publish").summary("publish one event");
  command
    .description("Publishes one event; ends when the bus has it safely.")
    .argument("<type>", "its type: order.placed")
    .argument("[payload]", "its payload as JSON; - reads it from standard input", "{}")
    .option("--source <name>", "who publishes it (preset: cli)")
    .option("--target <agent>", "the one agent that it is for")
    .option("--key <key>", "events of one key keep their order")
    .option("--priority <word>", priorities.join(", "), oneOfWords(priorities))
    .option("--correlation <id>", "the flow that it belongs to")
    .option("--delay <ms>", "deliver it after so many milliseconds", wholeFrom(0));
  printing(homeFlags(command), [
    `cadre publish order.placed '{"orderId":"o-1"}'`,
    "cadre publish system.shutdown",
    "jq -c .order order.json | cadre publish order.placed -",
  ]);
  command.action((type: string, payload: string, flags: PublishFlags) =>
    publish(context, type, payload, flags),
  );
}

async function publish(
  context: CommandContext,
  type: string,
  text: string,
  flags: PublishFlags,
): Promise<void> {
  const { clock, output } = context;
  const payload = parseJson("The payload", text);
  const { source, target, key, priority, correlation, delay } = flags;
  let registry: EventRegistry | undefined;
  const events = (config: CadreConfig): EventRegistry => (registry = openRegistry(config));
  const event = await withBus(
    context,
    flags,
    (bus) =>
      bus.publish(type, payload, {
        ...(source === undefined ? {} : { source }),
        ...(target === undefined ? {} : { target }),
        ...(key === undefined ? {} : { key }),
        ...(priority === undefined ? {} : { priority }),
        ...(correlation === undefined ? {} : { correlationId: correlation }),
        ...(delay === undefined ? {} : { deliverAt: clock.now() + delay }),
      }),
    { creates: true, events },
  );
  await (flags.json ? output.json(event) : output.text(`Published ${event.type} ${event.id}`));
  if (registry?.find(type)) return;
  const names = (registry?.list() ?? []).map((each) => each.type);
  const closest = nearestName(type, names);
  const hint = closest === undefined ? "" : ` Did you mean ${closest}?`;
  output.note(
    `The type ${type} is in no registry here, so its payload was not checked. A team whose registry doesn't know it, refuses it.${hint}`,
  );
}

/**
 * The team's registry where it is configured. Without it the built-in types are checked, and any
 * other is taken: it is the team's own.
 */
function openRegistry(config: CadreConfig): EventRegistry {
  return config.events ?? defineEvents({}, { closed: false, extends: builtinEvents });
}
