import type { Command } from "commander";

import type { Bus } from "../../bus/bus.ts";
import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { CommandContext } from "../command-context.ts";
import { eventLine } from "../event-line.ts";
import { exitCodes } from "../exit-code.ts";
import { withBus, type HomeFlags } from "../home.ts";
import { importModule } from "../module-file.ts";
import { eventChoice, eventFlags, type EventChoice, type EventFlags } from "./event-choice.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface ReplayFlags extends HomeFlags, EventFlags {
  readonly to?: string;
  readonly republish?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

type Feed = (event: AgentEvent, delivery: unknown) => unknown;

/** `cadre replay` */
export function addReplay(program: Command, context: CommandContext): void {
  const command = program
    .command("replay")
    .summary("feed past events to a handler, or publish them again");
  command.description(
    "Feeds past events, marked as a replay, to the function `handler` that a module exports, " +
      "and to nothing else. Without --to it prints them. --republish publishes them again for " +
      "everybody, under new ids.",
  );
  eventFlags(command)
    .option("--to <file>", "the module that exports handler(event)")
    .option("--republish", "publish the events again; agents will act on them")
    .option("--yes", "really republish");
  printing(homeFlags(command), [
    'cadre replay --type "order.#" --to ./rebuild.ts',
    "cadre replay --correlation 019a…",
    "cadre replay --id 019a… --republish --yes",
  ]);
  command.action((flags: ReplayFlags) => replay(context, flags));
}

async function replay(context: CommandContext, flags: ReplayFlags): Promise<void> {
  const choice = eventChoice(flags, context.clock.now());
  if (flags.republish && flags.to !== undefined) {
    const message = "Give either --to or --republish: one feeds a handler, the other everybody.";
    throw new CadreError("INVALID_OPTION", message, { option: "republish" });
  }
  const handler = flags.to === undefined ? undefined : await loadHandler(context, flags.to);
  await withBus(context, flags, async (bus) => {
    if (flags.republish) await republish(context, bus, choice, flags);
    else await feed(context, bus, choice, flags, handler);
  });
}

/** Ends the replay from within; it has no other end than its last event. */
const enough = new Error("enough");

async function feed(
  context: CommandContext,
  bus: Bus,
  { query, filter, limit }: EventChoice,
  flags: ReplayFlags,
  handler: Feed | undefined,
): Promise<void> {
  const { clock, output, stop } = context;
  const print: Feed = (event) =>
    flags.json ? output.json(event) : output.line(eventLine(output, event, clock.now()));
  let count = 0;
  let current: AgentEvent | undefined;
  const to: Feed = async (event, delivery) => {
    if (stop.aborted || (filter && !filter.matches(event))) {
      if (stop.aborted) throw enough;
      return;
    }
    current = event;
    await (handler ?? print)(event, delivery);
    count += 1;
    if (count >= limit) throw enough;
  };
  try {
    await bus.replay(query, { to, signal: stop });
  } catch (error) {
    if (error !== enough && !stop.aborted) {
      if (current)
        output.note(`The replay stopped at ${current.type} ${current.id}, after ${count} events.`);
      throw error;
    }
  }
  if (context.interrupt.hit) context.exit(exitCodes.interrupted);
  if (!handler) return;
  await (flags.json
    ? output.json({ replayed: count })
    : output.text(`Replayed ${counted(count)}.`));
}

async function republish(
  context: CommandContext,
  bus: Bus,
  { query, filter }: EventChoice,
  flags: ReplayFlags,
): Promise<void> {
  const { clock, output } = context;
  if (filter) {
    const message =
      "--republish takes no --filter. Choose by --type, --source, --correlation, --id or time.";
    throw new CadreError("INVALID_OPTION", message, { option: "filter" });
  }
  // What agents publish in answer must not be republished as well.
  const past = { ...query, until: query.until ?? clock.now() };
  if (!flags.yes) {
    let count = 0;
    for await (const _ of bus.history(past)) count += 1;
    const message =
      `This would publish ${counted(count)} again, and agents would act on them. ` +
      "Add --yes if that is what you want.";
    throw new CadreError("INVALID_OPTION", message, { option: "yes" });
  }
  const count = await bus.republish(past);
  await (flags.json
    ? output.json({ republished: count })
    : output.text(`Republished ${counted(count)}.`));
}

function counted(count: number): string {
  return `${count} ${count === 1 ? "event" : "events"}`;
}

async function loadHandler(context: CommandContext, file: string): Promise<Feed> {
  const { handler } = await importModule(file, context.cwd);
  if (typeof handler === "function") return handler as Feed;
  const message = `${file} exports no function "handler": export function handler(event) { … }`;
  throw new CadreError("INVALID_OPTION", message, { option: "to", value: file });
}
