import type { Command } from "commander";

import { CadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { EventStore } from "../../store/event-store.ts";
import { wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { eventLine } from "../event-line.ts";
import { exitCodes } from "../exit-code.ts";
import { withStore, type HomeFlags } from "../home.ts";
import type { Output } from "../output.ts";
import { isShortOf, someOf } from "../short-id.ts";
import { tableLines, type Column } from "../table.ts";
import { durationText, parseInstant } from "../time-text.ts";
import { homeFlags, printing, refuseWords, withExamples } from "./home-flags.ts";

interface ListFlags extends HomeFlags {
  readonly stuck?: boolean;
  readonly since?: string;
  readonly limit: number;
  readonly json?: boolean;
}

interface ShowFlags extends HomeFlags {
  readonly json?: boolean;
}

/** A flow, as its events say. */
interface Flow {
  readonly id: string;
  readonly began: string;
  readonly beganAt: number;
  last: string;
  lastAt: number;
  events: number;
  /** What it waits for, by the expectations that were not met. */
  readonly stuck: Map<string, string>;
}

const presetLimit = 50;
const maxFlows = 10_000; // kept while the log is read; the oldest are let go
const maxDepth = 40; // of the tree; deeper events stand at its edge

/** `cadre flows` */
export function addFlows(program: Command, context: CommandContext): void {
  const flows = program.command("flows").summary("list flows, or show one as a tree");
  flows.description(
    "Lists flows: events of one correlation, whoever published them. Without a command it lists " +
      "them.",
  );
  withExamples(flows, ["cadre flows", "cadre flows --stuck", "cadre flows show 019a…"]);
  const list = flows.command("list", { isDefault: true }).summary("list flows, the newest last");
  list
    .description("Lists flows, the one that changed last at the end.")
    .option("--stuck", "those in which something expected has not come")
    .option("--since <time>", "of events from then on: 10m, 2h, 2026-11-21T08:00")
    .option("--limit <number>", "the newest so many", wholeFrom(1), presetLimit);
  printing(homeFlags(list), ["cadre flows --stuck", "cadre flows list --since 1h --json"]);
  list.allowExcessArguments().action((flags: ListFlags) => {
    refuseWords(list);
    return listFlows(context, flags);
  });
  const show = flows.command("show").summary("show one flow as a tree of causes");
  show
    .description("Shows the events of one flow, each below the one that caused it.")
    .argument("<id>", "its correlation id, or as much of its beginning or end as is unique");
  printing(homeFlags(show), ["cadre flows show 019a…", "cadre flows show 019a… --json"]);
  show.action((id: string, flags: ShowFlags) => showFlow(context, id, flags));
}

async function listFlows(context: CommandContext, flags: ListFlags): Promise<void> {
  const { clock, output } = context;
  const now = clock.now();
  const since = flags.since === undefined ? 0 : parseInstant("--since", flags.since, now);
  await withStore(context, flags, async (store) => {
    const all = [...(await foldFlows(context, store, since)).values()];
    if (context.interrupt.hit) return context.exit(exitCodes.interrupted);
    const fitting = flags.stuck ? all.filter(({ stuck }) => stuck.size > 0) : all;
    const rows = fitting.slice(-flags.limit);
    if (flags.json) {
      for (const { stuck, ...flow } of rows) {
        await output.json({ ...flow, waitsFor: [...stuck.values()] });
      }
      return;
    }
    if (rows.length === 0) return output.note("No flow matches.");
    await output.lines(tableLines(output, columns(now), rows));
    if (rows.length < fitting.length) {
      output.note(`The newest ${rows.length} of ${fitting.length}; --limit shows more.`);
    }
  });
}

function columns(now: number): readonly Column<Flow>[] {
  return [
    { title: "flow", text: ({ id }) => id, keep: "end", least: 9 },
    { title: "began with", text: ({ began }) => began, least: 9 },
    { title: "last", text: ({ last }) => last, least: 8 },
    { title: "events", text: ({ events }) => String(events), align: "right", from: 70 },
    {
      title: "waits for",
      text: ({ stuck }) => [...stuck.values()].join(", "),
      least: 9,
      style: () => "red",
    },
    { title: "changed", text: ({ lastAt }) => durationText(now - lastAt), align: "right" },
  ];
}

/** Flows by their correlation, the one that changed last at the end. */
async function foldFlows(
  context: CommandContext,
  store: EventStore,
  since: number,
): Promise<Map<string, Flow>> {
  const flows = new Map<string, Flow>();
  for await (const { event, private: isPrivate } of store.read(since > 0 ? { since } : {})) {
    if (context.stop.aborted) break;
    if (isPrivate) continue;
    const id = event.metadata.correlationId;
    const flow = flows.get(id) ?? beginning(id, event);
    if (!applyMark(flow, event)) {
      flow.last = event.type;
      flow.lastAt = event.timestamp;
      flow.events += 1;
    }
    flows.delete(id);
    flows.set(id, flow);
    if (flows.size <= maxFlows) continue;
    const [oldest] = flows.keys();
    if (oldest !== undefined) flows.delete(oldest);
  }
  return flows;
}

function beginning(id: string, { type, timestamp }: AgentEvent): Flow {
  return {
    id,
    began: type,
    beganAt: timestamp,
    last: type,
    lastAt: timestamp,
    events: 0,
    stuck: new Map(),
  };
}

/** What the watch over flows has said counts as none of the flow's own events. */
function applyMark({ stuck }: Flow, event: AgentEvent): boolean {
  if (event.type !== "flow.stuck" && event.type !== "flow.resumed") return false;
  const { expectation, after, expected } = event.payload as Readonly<Record<string, string>>;
  const key = `${expectation}/${after}`;
  if (event.type === "flow.stuck") stuck.set(key, expected ?? "");
  else stuck.delete(key);
  return true;
}

async function showFlow(context: CommandContext, id: string, flags: ShowFlags): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    let events = await eventsOf(store, id);
    if (events.length === 0) events = await eventsOf(store, await fullId(context, store, id));
    if (events.length === 0) throw notFound(id);
    if (flags.json) {
      for (const event of events) await output.json(event);
      return;
    }
    const depths = new Map<string, number>();
    for (const event of inOrder(events)) {
      const above = depths.get(event.metadata.causationId ?? "");
      const depth = above === undefined ? 0 : Math.min(maxDepth, above + 1);
      depths.set(event.id, depth);
      const indent = "  ".repeat(depth);
      const width = Math.max(20, output.width - indent.length);
      const style: Output["style"] = (name, text) => output.style(name, text);
      const narrower = { width, style };
      await output.line(`${indent}${eventLine(narrower, event, clock.now())}`);
    }
  });
}

/** Each event behind its cause, and before what came later of the same cause. */
function inOrder(events: readonly AgentEvent[]): readonly AgentEvent[] {
  const ids = new Set(events.map(({ id }) => id));
  const caused = new Map<string, AgentEvent[]>();
  for (const event of events) {
    const { causationId = "" } = event.metadata;
    const cause = ids.has(causationId) && causationId !== event.id ? causationId : "";
    const same = caused.get(cause);
    if (same) same.push(event);
    else caused.set(cause, [event]);
  }
  const ordered: AgentEvent[] = [];
  const open = [...(caused.get("") ?? [])].toReversed();
  for (let next = open.pop(); next; next = open.pop()) {
    ordered.push(next);
    open.push(...(caused.get(next.id) ?? []).toReversed());
  }
  return ordered;
}

async function eventsOf(store: EventStore, correlationId: string): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const stored of store.read({ correlationId })) {
    if (!stored.private) events.push(stored.event);
  }
  return events;
}

/** The one id that begins or ends with `part`: a narrow table shows ids cut. */
async function fullId(context: CommandContext, store: EventStore, part: string): Promise<string> {
  const ids = [...(await foldFlows(context, store, 0)).keys()];
  const matching = ids.filter((id) => isShortOf(part, id));
  if (matching.length < 2) return matching[0] ?? part;
  throw new CadreError(
    "INVALID_OPTION",
    `"${part}" stands for ${matching.length} flows: ${someOf(matching)}. Give more of the id.`,
    { option: "id", value: part },
  );
}

function notFound(id: string): CadreError {
  const message = `There is no flow "${id}" in this store. "cadre flows" lists them.`;
  return new CadreError("NOT_FOUND", message, { what: "flow", id });
}
