/** `cadre agents pause | resume | drain | restart | sleep`: orders to agents, by name. */
import type { Command } from "commander";

import { wishFor, type AgentWish } from "../../agents/health/agent-wish.ts";
import { presencePrefix, readCards } from "../../agents/health/beat.ts";
import { wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { withStore, type HomeFlags } from "../home.ts";
import { homeFlags, printing } from "./home-flags.ts";

interface OrderFlags extends HomeFlags {
  readonly json?: boolean;
  readonly reason?: string;
  readonly deadline?: number;
  readonly for?: number;
}

type Change = (before: AgentWish, flags: OrderFlags, now: number) => Partial<AgentWish>;

interface Order {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly change: Change;
  readonly option?: readonly [flags: string, description: string];
}

const orders: readonly Order[] = [
  {
    name: "pause",
    summary: "let it take nothing new; what runs goes on",
    description: "The agent claims and hears nothing new until it is resumed; what runs goes on.",
    change: () => ({ state: "paused" }),
  },
  {
    name: "resume",
    summary: "end a pause, a sleep, or a drain",
    description: "Ends a pause, a sleep, or a drain: a stopped agent begins a new incarnation.",
    change: () => ({ state: "running" }),
  },
  {
    name: "drain",
    summary: "let it end what it has, and stop",
    description:
      "The agent takes nothing new, ends what it has, and stops until it is resumed. What is not " +
      "done by the deadline is given back.",
    change: (_before, { deadline }) => ({
      state: "stopped",
      ...(deadline === undefined ? {} : { deadlineMs: deadline }),
    }),
    option: ["--deadline <ms>", "what still runs then is given back"],
  },
  {
    name: "restart",
    summary: "begin a new incarnation of it",
    description:
      "Begins a new incarnation of the agent, in the process that it runs in. What does not end " +
      "within a second is given back.",
    change: ({ restarts }) => ({ restarts: restarts + 1 }),
  },
  {
    name: "sleep",
    summary: "pause it for a while",
    description: "Pauses the agent for so long; its card shows when it is active again.",
    change: (_before, flags, now) => ({ state: "asleep", until: now + (flags.for ?? 0) }),
    option: ["--for <ms>", "how long"],
  },
];

/** Adds them to `cadre agents`. */
export function addAgentOrders(agents: Command, context: CommandContext): void {
  for (const { name, summary, description, change, option } of orders) {
    const command = agents.command(name).summary(summary);
    command
      .description(`${description} The order is on record, and lasts until the next one.`)
      .argument("<agent>", "the agent's name")
      .option("--reason <text>", "for people: it is on the card");
    if (option && name === "sleep") command.requiredOption(...option, wholeFrom(1));
    else if (option) command.option(...option, wholeFrom(0));
    const more = name === "sleep" ? " --for 3600000" : "";
    printing(homeFlags(command), [`cadre agents ${name} reader${more} --reason "by hand"`]);
    command.action((agent: string, flags: OrderFlags) => give(context, agent, change, flags));
  }
}

async function give(
  context: CommandContext,
  agent: string,
  change: Change,
  flags: OrderFlags,
): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const reason = flags.reason === undefined ? {} : { reason: flags.reason };
    const { wish } = await wishFor({ store, clock }, agent, (before) => ({
      ...change(before, flags, clock.now()),
      ...reason,
    }));
    if (flags.json) return output.json({ agent, ...wish });
    const cards = readCards(await store.slots(presencePrefix));
    const known = cards.some(({ card }) => card.agent === agent);
    output.note(
      known
        ? `Ordered. Every process that runs ${agent} obeys within a heartbeat.`
        : `No agent named ${agent} has a card in this store: the order waits until one comes.`,
    );
  });
}
