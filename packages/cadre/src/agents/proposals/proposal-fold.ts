/**
 * The fold of a proposal's stream into its state. Pure; every reader of a proposal, in any process,
 * uses this one. Whether a vote was allowed was decided when it was written.
 */
import type { AgentEvent } from "../../core/event.ts";
import type { JsonValue } from "../../core/json.ts";
import { text } from "../task-fold.ts";
import { applyDebate, openedDebate } from "./debate-fold.ts";
import type {
  Electorate,
  ProposalKind,
  ProposalLevel,
  ProposalOutcome,
  ProposalState,
  ProposalStatus,
  Verdict,
  Vote,
  VoterKind,
} from "./proposal.ts";

type Fields = Readonly<Record<string, JsonValue | undefined>>;

const opens: Readonly<Record<string, ProposalKind>> = {
  "action.proposed": "action",
  "validation.requested": "validation",
  "debate.opened": "debate",
};

const ends: Readonly<Record<string, ProposalStatus>> = {
  "action.approved": "approved",
  "action.vetoed": "vetoed",
  "action.expired": "expired",
  "action.withdrawn": "withdrawn",
};

export function applyProposal(
  state: ProposalState | undefined,
  event: AgentEvent,
): ProposalState | undefined {
  const fields = event.payload as Fields;
  const kind = opens[event.type];
  if (!state) return kind && opened(kind, fields, event);
  const status = ends[event.type];
  if (status) return decided(state, status, fields, event);
  if (event.type === "action.voted") return voted(state, fields, readVote(fields, event));
  if (event.type === "validation.responded") {
    return voted(state, fields, readValidatorsVote(fields, event));
  }
  if (event.type === "action.amended") return amended(state, fields, event);
  if (event.type === "action.escalated") return escalated(state, fields, event);
  if (!state.debate) return state;
  return { ...state, debate: applyDebate(state.debate, event) };
}

function opened(kind: ProposalKind, fields: Fields, event: AgentEvent): ProposalState {
  const id = text(fields["proposalId"]) || text(fields["validationId"]);
  const hash = text(fields["contentHash"]);
  const taskId = text(fields["taskId"]);
  const debate = kind === "debate" || fields["debate"] !== undefined;
  return {
    id,
    kind,
    action: text(fields["action"]) || text(fields["question"]) || kind,
    content: fields["content"] ?? fields["subject"] ?? null,
    contentHash: hash,
    revision: 1,
    openedHash: hash,
    author: text(fields["author"]),
    ...(taskId === "" ? {} : { taskId }),
    lineage: words(fields["lineage"]),
    mode: fields["mode"] === "veto" ? "veto" : "approve",
    voters: { names: words(fields["voters"]), roles: words(fields["roles"]) },
    vetoBy: { names: words(fields["vetoVoters"]), roles: words(fields["vetoRoles"]) },
    rules: words(fields["rules"]),
    quorum: Number(fields["quorum"] ?? 1),
    minSeen: Number(fields["minSeen"] ?? 0),
    weights: (fields["weights"] ?? {}) as Readonly<Record<string, number>>,
    level: 0,
    levels: (fields["levels"] ?? []) as unknown as readonly ProposalLevel[], // as it was written
    otherwise: otherwiseOf(fields["otherwise"]),
    status: "open",
    votes: [],
    late: [],
    ballots: [],
    ...(debate ? { debate: openedDebate(fields["debate"]) } : {}),
    openedAt: event.timestamp,
    deadlineAt: Number(fields["deadlineAt"]),
    windowMs: Number(fields["deadlineAt"]) - event.timestamp,
    correlationId: event.metadata.correlationId,
  };
}

/** The first outcome is the outcome; what else is written says only that it came too late. */
function decided(
  state: ProposalState,
  status: ProposalStatus,
  fields: Fields,
  event: AgentEvent,
): ProposalState {
  if (state.outcome) return state;
  const position = text(fields["position"]);
  const outcome: ProposalOutcome = {
    by: text(fields["voter"]) || text(fields["by"]) || event.source,
    reason: text(fields["reason"]),
    approvals: Number(fields["approvals"] ?? 0),
    rejections: Number(fields["rejections"] ?? 0),
    dissent: (fields["dissent"] ?? []) as unknown as readonly Vote[], // as it was written
    ...(position === "" ? {} : { position }),
    at: event.timestamp,
  };
  return { ...state, status, outcome };
}

function voted(state: ProposalState, fields: Fields, vote: Vote): ProposalState {
  const ballots = vote.ballot === undefined ? state.ballots : [...state.ballots, vote.ballot];
  if (state.status !== "open" || fields["late"] === true) {
    return { ...state, ballots, late: [...state.late, vote] };
  }
  // A vote on what was changed since counts for nothing; it could only be a replayed one.
  if (vote.contentHash !== state.contentHash) return { ...state, ballots };
  // A rule may be named like a voter, and both have their word.
  const isRule = vote.kind === "rule";
  const others = state.votes.filter(
    ({ voter, kind }) => voter !== vote.voter || (kind === "rule") !== isRule,
  );
  return { ...state, ballots, votes: [...others, vote] };
}

function amended(state: ProposalState, fields: Fields, event: AgentEvent): ProposalState {
  const by = text(fields["by"]);
  const { deadlineAt, windowMs } = state;
  // What goes ahead by itself has its whole time again: nobody has seen it as it is now.
  const goesAhead = state.mode === "veto" || state.otherwise === "approve";
  const anew = goesAhead ? Math.max(deadlineAt, event.timestamp + windowMs) : deadlineAt;
  return {
    ...state,
    deadlineAt: anew,
    content: fields["content"] ?? null,
    contentHash: text(fields["contentHash"]),
    revision: Number(fields["revision"]),
    lineage: union(state.lineage, [by]),
    votes: [],
  };
}

function escalated(state: ProposalState, fields: Fields, event: AgentEvent): ProposalState {
  const { names, roles } = state.voters;
  return {
    ...state,
    level: Number(fields["level"]),
    deadlineAt: Number(fields["deadlineAt"]),
    windowMs: Number(fields["deadlineAt"]) - event.timestamp,
    quorum: Number(fields["quorum"] ?? state.quorum),
    voters: {
      names: union(names, words(fields["voters"])),
      roles: union(roles, words(fields["roles"])),
    },
  };
}

function readVote(fields: Fields, event: AgentEvent): Vote {
  return {
    ...restOfVote(fields, event),
    voter: text(fields["voter"]),
    verdict: text(fields["verdict"]) as Verdict,
  };
}

const verdicts: Readonly<Record<string, Verdict>> = {
  valid: "approve",
  invalid: "reject",
  unsure: "abstain",
};

function readValidatorsVote(fields: Fields, event: AgentEvent): Vote {
  return {
    ...restOfVote(fields, event),
    voter: text(fields["validator"]),
    verdict: verdicts[text(fields["verdict"])] ?? "abstain",
  };
}

function restOfVote(fields: Fields, event: AgentEvent): Omit<Vote, "voter" | "verdict"> {
  const { reason, evidence, confidence, ballot } = fields;
  return {
    kind: (text(fields["kind"]) || "person") as VoterKind,
    contentHash: text(fields["contentHash"]),
    weight: Number(fields["weight"] ?? 1),
    ...(reason === undefined ? {} : { reason: text(reason) }),
    ...(evidence === undefined ? {} : { evidence }),
    ...(confidence === undefined ? {} : { confidence: Number(confidence) }),
    ...(ballot === undefined ? {} : { ballot: text(ballot) }),
    at: event.timestamp,
  };
}

/** Both lists as one, each name once. */
export function union(left: readonly string[], right: readonly string[]): readonly string[] {
  return [...new Set([...left, ...right])];
}

export function joined(left: Electorate, right: Electorate): Electorate {
  return { names: union(left.names, right.names), roles: union(left.roles, right.roles) };
}

function words(value: JsonValue | undefined): readonly string[] {
  return Array.isArray(value) ? value.map((word) => text(word as JsonValue)) : [];
}

function otherwiseOf(value: JsonValue | undefined): ProposalState["otherwise"] {
  return value === "approve" || value === "veto" ? value : "expire";
}
