/** Votes: who may vote, on what, and what comes of it. */
import type { AgentEvent } from "../../core/event.ts";
import { toFrozenJson } from "../../core/json.ts";
import { anything, checkOptions, numberBetween, oneOf, someText } from "../../core/options.ts";
import { contentHash } from "./content-hash.ts";
import { lineageOf } from "./lineage.ts";
import { assertVoterName, knownVoter, type Elector } from "./people.ts";
import type { Electorate, ProposalState, Verdict, Vote } from "./proposal.ts";
import {
  after,
  changeProposal,
  concluded,
  type ProposalEntry,
  type Proposing,
} from "./proposal-log.ts";
import { overdue, tally } from "./proposal-tally.ts";
import { checkedWeight } from "./proposal-terms.ts";
import { voteEvent } from "./rules.ts";
import { voteRefused } from "./vote-refused.ts";

/** A vote as it is cast. */
export interface CastVote {
  /** Who votes. */
  readonly as: string;
  readonly verdict: Verdict;
  /** The hash of what the voter was shown: `contentHash` of the proposal. */
  readonly hash: string;
  readonly reason?: string;
  readonly evidence?: unknown;
  /** 0 to 1. */
  readonly confidence?: number;
  /** The task by which an agent was asked. */
  readonly ballot?: string;
}

export interface VoteAnswer {
  readonly entry: ProposalEntry;
  readonly state: ProposalState;
  /** `late`: it came after the end, and is on record as that. */
  readonly counted: "yes" | "late";
}

/** Casts a vote. See `ProposalDesk.vote`. */
export async function castVote(
  context: Proposing,
  id: string,
  vote: CastVote,
): Promise<VoteAnswer> {
  checkOptions("vote", vote, {
    as: someText,
    verdict: oneOf("approve", "reject", "veto", "abstain", "seen"),
    hash: someText,
    reason: someText,
    evidence: anything,
    confidence: numberBetween(0, 1),
    ballot: someText,
  });
  assertVoterName(vote.as);
  const voter = await knownVoter(context, vote.as);
  let counted: VoteAnswer["counted"] = "yes";
  const entry = await changeProposal(context, id, async (before) => {
    const ended = await timedOut(context, before);
    const now = ended.length === 0 ? before : after(before, ended);
    const { state } = now;
    if (vote.ballot !== undefined && state.ballots.includes(vote.ballot)) return undefined;
    if (state.debate) throw voteRefused(state, vote.as, "debated");
    const { tenant } = before.last.metadata;
    context.guard?.permissions?.assertMay(vote.as, "vote", state.action, tenant);
    await assertMayVote(context, state, vote, voter);
    counted = state.status === "open" ? "yes" : "late";
    if (counted === "yes" && vote.hash !== state.contentHash) {
      throw voteRefused(state, vote.as, "stale");
    }
    const said = await votedEvent(context, now, vote, voter);
    if (isRepeated(state, vote)) return ended.length === 0 ? undefined : { events: ended };
    const next = after(now, [said]);
    const conclusion = tally(next.state);
    const ends = conclusion ? [concluded(context, next, conclusion)] : [];
    return { events: [...ended, said, ...ends] };
  });
  return { entry, state: entry.state, counted };
}

/** A deadline that passed before the vote counts before the vote. */
async function timedOut(context: Proposing, entry: ProposalEntry): Promise<readonly AgentEvent[]> {
  const conclusion = overdue(entry.state, context.clock.now());
  return conclusion ? [concluded(context, entry, conclusion)] : [];
}

async function votedEvent(
  context: Proposing,
  { state, last }: ProposalEntry,
  vote: CastVote,
  voter: Elector,
): Promise<AgentEvent> {
  const { as, verdict, hash, reason, evidence, confidence, ballot } = vote;
  const roles = voter.roles.filter((role) => state.voters.roles.includes(role));
  const known = state.weights[as];
  const asked = async (): Promise<number> =>
    context.weigh ? checkedWeight(as, await context.weigh(as, roles[0] ?? "")) : 1;
  const fields = {
    kind: voter.kind,
    contentHash: hash,
    weight: known ?? (await asked()),
    ...(roles.length === 0 ? {} : { roles }),
    ...(reason === undefined ? {} : { reason }),
    ...(evidence === undefined ? {} : { evidence: toFrozenJson(evidence) }),
    ...(confidence === undefined ? {} : { confidence }),
    ...(ballot === undefined ? {} : { ballot }),
    ...(state.status === "open" ? {} : { late: true }),
  };
  return voteEvent({ ...context, name: as }, state, { voter: as, verdict, fields }, last);
}

/** The same word again is one vote, and one late vote. */
function isRepeated(state: ProposalState, vote: CastVote): boolean {
  if (vote.ballot !== undefined) return false;
  const same = (known: Vote): boolean =>
    known.voter === vote.as &&
    known.kind !== "rule" &&
    known.verdict === vote.verdict &&
    known.contentHash === vote.hash &&
    known.reason === vote.reason &&
    known.confidence === vote.confidence &&
    contentHash(known.evidence ?? null) === contentHash(vote.evidence ?? null);
  return (state.status === "open" ? state.votes : state.late).some(same);
}

async function assertMayVote(
  context: Proposing,
  state: ProposalState,
  { as, verdict }: Pick<CastVote, "as" | "verdict">,
  voter: Elector,
): Promise<void> {
  if (await isOfLineage(context, state, as)) throw voteRefused(state, as, "lineage");
  const mayVeto = isAmong(state.vetoBy, as, voter);
  if (!isAmong(state.voters, as, voter) && !mayVeto) throw voteRefused(state, as, "not_a_voter");
  if (verdict === "veto" && state.mode === "approve" && !mayVeto) {
    throw voteRefused(state, as, "no_veto_right");
  }
  // Who has nothing but a veto right counts neither for the quorum nor against it.
  const isOpinion = verdict === "approve" || verdict === "reject";
  if (isOpinion && !isAmong(state.voters, as, voter)) throw voteRefused(state, as, "not_a_voter");
}

/** Whether somebody may vote on it. */
export async function mayVote(
  context: Proposing,
  state: ProposalState,
  name: string,
): Promise<boolean> {
  const voter = await knownVoter(context, name);
  const isVoter = isAmong(state.voters, name, voter) || isAmong(state.vetoBy, name, voter);
  return isVoter && !(await isOfLineage(context, state, name));
}

/** As it is now: what the proposing task called may have been claimed since it was opened. */
export async function isOfLineage(
  { store }: Pick<Proposing, "store">,
  { lineage, taskId, correlationId }: ProposalState,
  name: string,
): Promise<boolean> {
  if (lineage.includes(name)) return true;
  if (taskId === undefined) return false;
  return (await lineageOf(store, taskId, correlationId)).includes(name);
}

function isAmong({ names, roles }: Electorate, name: string, voter: Elector): boolean {
  return names.includes(name) || roles.some((role) => voter.roles.includes(role));
}
