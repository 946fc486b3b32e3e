import type { Command } from "commander";

import { openTransport } from "../../agents/open-url.ts";
import { CadreError, describeError } from "../../core/errors.ts";
import { silentLogger } from "../../core/logger.ts";
import { secureRandom } from "../../core/random.ts";
import { startArchive, type Archive } from "../../outbox/archive.ts";
import type { Transport } from "../../bus/transport.ts";
import type { EventStore } from "../../store/event-store.ts";
import type { CommandContext } from "../command-context.ts";
import type { CadreConfig } from "../config.ts";
import { located, withStore, type HomeFlags } from "../home.ts";
import { countText } from "../size-text.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface ArchiveFlags extends HomeFlags {
  readonly group?: string;
  readonly earliest?: boolean;
  readonly json?: boolean;
}

/** `cadre archive` */
export function addArchive(program: Command, context: CommandContext): void {
  const command = program.command("archive").summary("keep what passes a broker in a store");
  command
    .description(
      "Keeps every event that passes the bus in the store, until Ctrl-C. Any number of archivers " +
        "may run; while none does, the broker keeps events for them.",
    )
    .argument("[patterns...]", "types to keep: * is one word, # any number; else all")
    .option("--group <name>", "the archivers that share the work (preset: archive)")
    .option("--earliest", "a new group also takes what the broker still has");
  printing(homeFlags(command), [
    "cadre archive --bus nats://127.0.0.1 --store sqlite:./archive.db",
    'cadre archive "order.#" "payment.#" --group money',
  ]);
  command.action((patterns: string[], flags: ArchiveFlags) => archive(context, patterns, flags));
}

async function archive(
  context: CommandContext,
  patterns: readonly string[],
  flags: ArchiveFlags,
): Promise<void> {
  const keep = async (store: EventStore, config: CadreConfig): Promise<void> => {
    const transport = await openBroker(context, config);
    try {
      await run(context, { transport, store, patterns }, flags);
    } finally {
      await transport.close();
    }
  };
  await withStore(context, flags, keep, { creates: true });
}

async function openBroker(context: CommandContext, { bus }: CadreConfig): Promise<Transport> {
  if (bus === undefined) {
    const message = "There is no broker to archive. Name one with --bus or CADRE_BUS.";
    throw new CadreError("INVALID_OPTION", message, { option: "bus" });
  }
  if (typeof bus !== "string") return bus;
  const tools = { clock: context.clock, random: secureRandom, logger: silentLogger };
  return openTransport(located(bus, context.cwd), tools);
}

async function run(
  context: CommandContext,
  parts: {
    readonly transport: Transport;
    readonly store: EventStore;
    readonly patterns: readonly string[];
  },
  flags: ArchiveFlags,
): Promise<void> {
  const { output, clock, stop } = context;
  const { transport, store, patterns } = parts;
  const running = await startArchive({
    transport,
    store,
    clock,
    ...(patterns.length === 0 ? {} : { patterns }),
    ...(flags.group === undefined ? {} : { group: flags.group }),
    ...(flags.earliest ? { from: "earliest" } : {}),
    onError: (error) => output.note(`cadre: ${describeError(error).message}`),
  });
  if (flags.json) await output.json({ archiving: running.group });
  else {
    const what = patterns.length === 0 ? "everything" : patterns.join(", ");
    await output.text(`Keeping ${what} of ${transport.name} in ${store.name}.`);
    output.note("Ctrl-C ends it in order.");
  }
  if (!stop.aborted) {
    await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
  }
  await running.close();
  await printEnd(context, running, flags);
}

async function printEnd(
  { output }: CommandContext,
  running: Archive,
  flags: ArchiveFlags,
): Promise<void> {
  const { archived, duplicates, records, refused } = await running.status();
  if (flags.json) return output.json({ archived, duplicates, records, refused });
  const parts = [`${countText(archived, "event")} kept`];
  if (duplicates > 0) parts.push(`${duplicates} there already`);
  if (records > 0) parts.push(countText(records, "record"));
  if (refused > 0) parts.push(countText(refused, "dead letter"));
  await output.text(`${parts.join(", ")}.`);
}
