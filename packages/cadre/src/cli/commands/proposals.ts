import type { Command } from "commander";

import type { ProposalState, ProposalStatus, Vote } from "../../agents/proposals/proposal.ts";
import { allProposals, loadProposal } from "../../agents/proposals/proposal-log.ts";
import { taskStream } from "../../agents/task-fold.ts";
import type { EventStore } from "../../store/event-store.ts";
import { oneOfWords, wholeFrom } from "../arguments.ts";
import type { CommandContext } from "../command-context.ts";
import { exitCodes } from "../exit-code.ts";
import { fieldLines } from "../field-lines.ts";
import { withStore, type HomeFlags } from "../home.ts";
import type { Output } from "../output.ts";
import { tableLines, type Column } from "../table.ts";
import { durationText } from "../time-text.ts";
import { homeFlags, printing, refuseWords, withExamples } from "./home-flags.ts";
import { addProposalAnswers } from "./proposal-answers.ts";
import { fullProposalId, unknownProposal } from "./proposal-id.ts";
import { addPeople } from "./proposal-people.ts";

const statuses = [
  "open",
  "approved",
  "vetoed",
  "expired",
  "withdrawn",
] as const satisfies readonly ProposalStatus[];

interface ListFlags extends HomeFlags {
  readonly status?: ProposalStatus;
  readonly all?: boolean;
  readonly limit: number;
  readonly json?: boolean;
}

interface ShowFlags extends HomeFlags {
  readonly json?: boolean;
}

const presetLimit = 50;

/** `cadre proposals` */
export function addProposals(program: Command, context: CommandContext): void {
  const proposals = program
    .command("proposals")
    .summary("list, show and answer what waits for voters");
  proposals.description(
    "What happens only if its voters agree. Without a command it lists the open ones. Answers name you with --as, and what you were shown by its hash, where you give one.",
  );
  withExamples(proposals, [
    "cadre proposals",
    "cadre proposals show r1.deploy",
    'cadre proposals approve r1.deploy --as ana --reason "tested"',
  ]);
  const list = proposals
    .command("list", { isDefault: true })
    .summary("list open ones, or those of a status");
  list
    .description("Lists proposals in the order in which they were opened.")
    .option("--status <status>", statuses.join(", "), oneOfWords(statuses))
    .option("--all", "also those that are decided")
    .option("--limit <number>", "the newest so many", wholeFrom(1), presetLimit);
  printing(homeFlags(list), ["cadre proposals", "cadre proposals list --status vetoed --json"]);
  list.allowExcessArguments().action((flags: ListFlags) => {
    refuseWords(list);
    return listProposals(context, flags);
  });
  const show = proposals.command("show").summary("show one: what is asked, by whom, its votes");
  show
    .description("Shows one proposal: what is asked, by whom, how it came to it, and its votes.")
    .argument("<id>", "its id, or as much of its beginning or end as is unique");
  printing(homeFlags(show), ["cadre proposals show r1.deploy"]);
  show.action((id: string, flags: ShowFlags) => showProposal(context, id, flags));
  addProposalAnswers(proposals, context);
  addPeople(proposals, context);
}

async function listProposals(context: CommandContext, flags: ListFlags): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const all = await allProposals(store, context.stop);
    if (context.interrupt.hit) return context.exit(exitCodes.interrupted);
    const status = flags.status ?? (flags.all ? undefined : "open");
    const fitting = all.filter((state) => status === undefined || state.status === status);
    const rows = fitting.slice(-flags.limit);
    if (flags.json) {
      for (const state of rows) await output.json(state);
      return;
    }
    if (rows.length === 0) {
      return output.note(status === "open" ? "No proposal is open." : "No proposal matches.");
    }
    await output.lines(tableLines(output, columns(clock.now()), rows));
    if (rows.length < fitting.length) {
      output.note(`The newest ${rows.length} of ${fitting.length}; --limit shows more.`);
    }
  });
}

function columns(now: number): readonly Column<ProposalState>[] {
  return [
    { title: "id", text: ({ id }) => id, keep: "end", least: 9 },
    { title: "asks for", text: ({ action }) => action, least: 8 },
    { title: "by", text: ({ author }) => author, least: 4, from: 60 },
    { title: "of", text: votersText, least: 6, from: 80 },
    {
      title: "status",
      text: ({ status }) => status,
      style: ({ status }) => styleOf(status),
    },
    { title: "votes", text: ({ votes }) => String(votes.length), align: "right" },
    { title: "due", text: (state) => dueText(state, now), align: "right" },
  ];
}

function styleOf(status: ProposalStatus): Parameters<Output["style"]>[0] {
  if (status === "open") return "yellow";
  return status === "approved" ? "green" : status === "vetoed" ? "red" : "dim";
}

function votersText({ voters, debate }: ProposalState): string {
  if (debate) return debate.debaters.map(({ name }) => name).join(", ");
  return [...voters.roles.map((role) => `any ${role}`), ...voters.names].join(", ") || "rules";
}

function dueText({ status, deadlineAt }: ProposalState, now: number): string {
  if (status !== "open") return "";
  const leftMs = deadlineAt - now;
  return leftMs < 0 ? `${durationText(-leftMs)} late` : `in ${durationText(leftMs)}`;
}

async function showProposal(
  context: CommandContext,
  part: string,
  flags: ShowFlags,
): Promise<void> {
  const { clock, output } = context;
  await withStore(context, flags, async (store) => {
    const id = await fullProposalId(store, part);
    const entry = await loadProposal(store, id);
    if (!entry) throw unknownProposal(part);
    const { state } = entry;
    const origin = await originOf(store, state);
    if (flags.json) return output.json({ ...state, origin });
    await output.lines(fieldLines(output, fieldsOf(state, origin, clock.now())));
    if (state.debate) await showDebate(output, state);
    const votes = [...state.votes, ...state.late];
    if (votes.length === 0) return;
    await output.line("");
    await output.lines(tableLines(output, voteColumns(state, clock.now()), votes));
  });
}

function fieldsOf(
  state: ProposalState,
  origin: readonly string[],
  now: number,
): readonly (readonly [string, string | undefined])[] {
  const { status, outcome, mode, quorum, level, levels, rules, lineage } = state;
  const needs = mode === "veto" ? `goes ahead unless ${quorum} object` : `needs ${quorum}`;
  return [
    ["proposal", state.id],
    ["asks for", state.action],
    ["content", JSON.stringify(state.content)],
    ["hash", state.contentHash],
    ["revision", state.revision > 1 ? String(state.revision) : undefined],
    ["by", state.author],
    ["because", origin.join(" < ")],
    ["status", status],
    ["voters", `${votersText(state)}; ${needs}`],
    ["not these", lineage.join(", ")],
    ["rules", rules.join(", ")],
    ["due", dueText(state, now)],
    ["level", levels.length > 0 ? `${level} of ${levels.length}` : undefined],
    ["decided", outcome && `by ${outcome.by}: ${outcome.reason}`],
    ["position", outcome?.position],
  ];
}

function voteColumns(state: ProposalState, now: number): readonly Column<Vote>[] {
  return [
    { title: "voter", text: ({ voter }) => voter, least: 5 },
    { title: "kind", text: ({ kind }) => kind, from: 60 },
    { title: "verdict", text: ({ verdict }) => verdict },
    { title: "weight", text: ({ weight }) => String(weight), align: "right", from: 80 },
    { title: "reason", text: ({ reason }) => reason ?? "", least: 6 },
    { title: "", text: (vote) => (state.late.includes(vote) ? "late" : "") },
    { title: "ago", text: ({ at }) => durationText(now - at), align: "right" },
  ];
}

async function showDebate(output: Output, { debate }: ProposalState): Promise<void> {
  if (!debate) return;
  const { phase, round, rounds, turns, debaters, judges } = debate;
  const where = phase === "rounds" ? `round ${round} of ${rounds}` : phase;
  const speakers = debaters.map(({ name, position, commitment }) => {
    const sealed = commitment === undefined ? "has not opened" : "sealed";
    return `${name}: ${position ?? sealed}`;
  });
  await output.lines(
    fieldLines(output, [
      ["debate", where],
      ["debaters", speakers.join("; ")],
      ["judges", judges.map(({ name }) => name).join(", ")],
    ]),
  );
  for (const turn of turns) {
    const said = turn.concedes === undefined ? turn.argument : `concedes. ${turn.argument}`;
    const evidence = turn.evidence.map((item) => JSON.stringify(item)).join(", ");
    await output.text(`  ${turn.round} ${turn.debater} (${turn.position}): ${said} ${evidence}`);
  }
}

/** How it came to the proposal: the task that asks, and those above it, by name. */
async function originOf(store: EventStore, { taskId }: ProposalState): Promise<readonly string[]> {
  const names: string[] = [];
  for (let id = taskId; id !== undefined && names.length < maxOrigin;) {
    let parent: string | undefined;
    for await (const { event } of store.read({ stream: taskStream(id), limit: 1 })) {
      const fields = event.payload as { readonly name?: string; readonly parent?: string };
      names.push(`task ${fields.name ?? ""} (${id})`);
      ({ parent } = fields);
    }
    id = parent;
  }
  return names;
}

const maxOrigin = 16; // tasks deep
