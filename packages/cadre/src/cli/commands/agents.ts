import type { Command } from "commander";

import type { AgentCard } from "../../agents/directory.ts";
import { presencePrefix, readCards } from "../../agents/health/beat.ts";
import { processProbe } from "../../agents/process-card.ts";
import type { EventStore, Slot } from "../../store/event-store.ts";
import { wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-code.ts";
import { withStore, type HomeFlags } from "../home.ts";
import type { Output } from "../output.ts";
import { tableLines, type Column } from "../table.ts";
import { durationText } from "../time-text.ts";
import { addAgentOrders } from "./agent-orders.ts";
import { homeFlags, printing, refuseWords, withExamples } from "./home-flags.ts";

interface AgentFlags extends HomeFlags {
  readonly watch?: number;
  readonly json?: boolean;
}

/**
 * What was seen of an agent: `online`, its card changed while it was watched; `gone`, its process
 * is no more on this machine; `silent`, neither; `unwatched`, nobody watched.
 */
type Seen = "online" | "gone" | "silent" | "unwatched";

interface AgentRow {
  readonly card: AgentCard;
  readonly seen: Seen;
}

const presetHeartbeatMs = 2_000;
const slackMs = 500; // a beat that is a little late is still a beat
const lookEveryMs = 50;

/** `cadre agents` */
export function addAgents(program: Command, context: CommandContext): void {
  const agents = program.command("agents").summary("list agents, and give them orders");
  agents.description(
    "Agents: who has a card in the store, and orders to them. Without a command it lists them.",
  );
  withExamples(agents, ["cadre agents", "cadre agents pause reader", "cadre agents resume reader"]);
  const command = agents
    .command("list", { isDefault: true })
    .summary("list them, and who is heard");
  command
    .description(
      "Lists the agents that have a card in the store. An agent is `online` if its card changed " +
        "while this command watched, for one heartbeat and half a second; `gone` if its process " +
        "on this machine is no more; otherwise `silent`. All the rest is what the card says.",
    )
    .option("--watch <ms>", "how long to watch for heartbeats; 0 is not at all", wholeFrom(0));
  printing(homeFlags(command), [
    "cadre agents",
    "cadre agents --watch 0",
    "cadre agents --json --store sqlite:./team.db",
  ]);
  command.allowExcessArguments().action((flags: AgentFlags) => {
    refuseWords(command);
    return listAgents(context, flags);
  });
  addAgentOrders(agents, context);
}

async function listAgents(context: CommandContext, flags: AgentFlags): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store, config) => {
    const watchMs = flags.watch ?? (config.heartbeatMs ?? presetHeartbeatMs) + slackMs;
    const rows = await watchAgents(context, store, watchMs);
    if (context.interrupt.hit) return context.exit(exitCodes.interrupted);
    const now = clock.now();
    if (flags.json) {
      for (const { card, seen } of rows)
        await output.json({ ...card, seen, beatAgoMs: now - card.beatAt });
      return;
    }
    if (rows.length === 0) return output.note("No agent has a card in this store.");
    await output.lines(tableLines(output, agentColumns(now), rows));
    const quiet = rows.some(({ seen }) => seen === "silent");
    if (quiet) output.note("What a silent agent's card says may be long over.");
  });
}

type NamedSlot = Slot & { readonly name: string };

/** Looks until every agent is known to be online or gone, at most `watchMs` long. */
async function watchAgents(
  context: CommandContext,
  store: EventStore,
  watchMs: number,
): Promise<AgentRow[]> {
  const { clock, stop } = context;
  const first = new Set(readCards(await store.slots(presencePrefix)).map(({ beat }) => beat));
  const until = clock.monotonic() + watchMs;
  const rowsOf = (slots: readonly NamedSlot[]): AgentRow[] =>
    readCards(slots).map(({ card, beat }) => rowOf(card, first.has(beat), watchMs));
  for (;;) {
    const rows = rowsOf(await store.slots(presencePrefix));
    const open = rows.some(({ seen }) => seen === "silent");
    if (!open || clock.monotonic() >= until || stop.aborted) return rows;
    await clock.sleep(lookEveryMs);
  }
}

function rowOf(card: AgentCard, isFirstBeat: boolean, watchMs: number): AgentRow {
  if (processProbe(card)) return { card, seen: "gone" };
  if (watchMs === 0) return { card, seen: "unwatched" };
  return { card, seen: isFirstBeat ? "silent" : "online" };
}

function agentColumns(now: number): readonly Column<AgentRow>[] {
  return [
    { title: "agent", text: ({ card }) => card.agent, least: 8 },
    { title: "seen", text: ({ seen }) => seen, least: 6, style: ({ seen }) => styleOf(seen) },
    { title: "state", text: ({ card }) => card.state, least: 7 },
    { title: "load", text: ({ card }) => `${card.load}/${card.capacity}`, align: "right" },
    { title: "beat", text: ({ card }) => durationText(now - card.beatAt), align: "right" },
    {
      title: "pid",
      text: ({ card }) => (card.pid === undefined ? "" : String(card.pid)),
      align: "right",
    },
    { title: "does", text: ({ card }) => card.capabilities.join(", "), least: 6 },
  ];
}

function styleOf(seen: Seen): Parameters<Output["style"]>[0] {
  if (seen === "online") return "green";
  return seen === "gone" ? "red" : "yellow";
}
