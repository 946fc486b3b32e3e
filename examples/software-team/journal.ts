/** What has happened, told in lines and figures: a fold of the log and of nothing else. */
import { defineProjection, type AgentEvent, type BuiltinEvents, type Projection } from "cadre";
import type { Change, Released, TeamEvents } from "./contract.ts";

export interface TriedChange {
  readonly strategy: string;
  readonly by: string;
  readonly refusals: string[];
  accepted: boolean;
}

export interface Journal {
  readonly lines: string[];
  /** By the id of the finding; the strategies in the order in which they were tried. */
  readonly changes: Map<string, TriedChange[]>;
  readonly proposals: Map<string, TriedChange>;
  readonly tasks: Map<string, string>;
  readonly releases: Map<string, string>;
  readonly undone: string[];
  events: number;
  tasksCompleted: number;
  leasesLost: number;
  kills: number;
  /** Unix milliseconds. */
  startedAt: number;
  endedAt: number;
}

type Events = BuiltinEvents & TeamEvents;
type Reactions = {
  readonly [Type in keyof Events]?: (
    journal: Journal,
    event: AgentEvent<Type, Events[Type]>,
    task: string,
  ) => string | void;
};

const reactions: Reactions = {
  "library.finding.reported": (_, { payload: { id, tests } }) =>
    line("analyst", `finds ${id}${tests.length > 0 ? `, for which ${tests.length} fails` : ""}`),
  "feature.created": (_, { payload: { title } }) => line("lead", `plans "${title}"`),
  "feature.completed": (_, { payload }) => line("lead", `has all of ${payload.featureId}`),
  "feature.blocked": (_, { payload }) => line("lead", `is blocked: ${payload.reason}`),
  "task.created": (journal, { payload: { taskId, name = "" } }) => {
    journal.tasks.set(taskId, name);
  },
  "task.completed": (journal, { payload: { taskId, result } }) => {
    journal.tasksCompleted += 1;
    if (journal.tasks.get(taskId) !== "release") return undefined;
    const { tag, commit } = result as Released;
    journal.releases.set(taskId, tag);
    return line("release-manager", `has released ${tag} (${commit.slice(0, 8)})`);
  },
  "task.lease_expired": (journal, { payload: { taskId, agent, reason } }) => {
    if (reason === "released") return undefined;
    journal.leasesLost += 1;
    return line("", `${agent} is silent: ${taskId} is offered again`);
  },
  "action.proposed": (journal, { payload: { proposalId, author = "", action, content } }) => {
    if (action !== "accept a change") return line(author, `asks to ${action}`);
    const { finding, strategy } = content as Change;
    const tried: TriedChange = { strategy, by: author, refusals: [], accepted: false };
    journal.proposals.set(proposalId, tried);
    journal.changes.set(finding, [...(journal.changes.get(finding) ?? []), tried]);
    return line(author, `proposes "${strategy}" for ${finding}`);
  },
  "action.voted": (journal, { payload: { proposalId, voter, verdict, reason = "" } }) => {
    const tried = journal.proposals.get(proposalId);
    if (!tried) return line(voter, `says ${verdict} to ${proposalId}`);
    if (verdict === "approve") return undefined;
    tried.refusals.push(`${voter}: ${reason}`);
    return line(voter, `refuses "${tried.strategy}": ${reason}`);
  },
  "action.approved": (journal, { payload: { proposalId } }) => {
    const tried = journal.proposals.get(proposalId);
    if (!tried) return undefined;
    tried.accepted = true;
    return line("", `"${tried.strategy}" by ${tried.by} is accepted`);
  },
  "validation.responded": (_, { payload: { validator, verdict, reason } }) =>
    line(validator, `says ${verdict}${reason === undefined ? "" : `: ${reason}`}`),
  "step.receipt": (journal, { payload: { step } }, task) =>
    journal.tasks.get(task) === "release"
      ? line("release-manager", `${task}: ${step} done`)
      : undefined,
  "step.undo_receipt": (journal, { payload: { step } }, task) => {
    journal.undone.push(step);
    return line("release-manager", `${task}: ${step} undone`);
  },
  "step.failed": (journal, { payload: { error } }, task) =>
    journal.tasks.get(task) === "release"
      ? line("release-manager", `${task}: ${error?.message ?? "failed"}`)
      : undefined,
  "team.worker.killed": (journal, { payload: { worker } }) => {
    journal.kills += 1;
    return line("", `worker ${worker} was killed`);
  },
};

export const journalOf: Projection<Journal> = defineProjection<Journal>({
  name: "journal",
  inPlace: true,
  initial: () => ({
    lines: [],
    changes: new Map(),
    proposals: new Map(),
    tasks: new Map(),
    releases: new Map(),
    undone: [],
    events: 0,
    tasksCompleted: 0,
    leasesLost: 0,
    kills: 0,
    startedAt: 0,
    endedAt: 0,
  }),
  apply: (journal, event, stored) => {
    journal.events += 1;
    journal.startedAt = Math.min(journal.startedAt || Infinity, stored.recordedAt);
    journal.endedAt = stored.recordedAt;
    const react = reactions[event.type as keyof Events] as
      | ((journal: Journal, event: AgentEvent, task: string) => string | void)
      | undefined;
    const told = react?.(journal, event, stored.stream?.replace(/^task\//, "") ?? "");
    if (told !== undefined) journal.lines.push(told);
    return journal;
  },
});

function line(who: string, what: string): string {
  return `${who.padEnd(16)} ${what}`;
}
