/** What the votes of a proposal come to. Pure: it reads no clock and asks nobody. */
import type { ProposalState, Verdict, Vote } from "./proposal.ts";
import { union } from "./proposal-fold.ts";

/** An outcome, or the next level, that follows from what a proposal's stream holds. */
export interface Conclusion {
  readonly status: "approved" | "vetoed" | "expired" | "escalated";
  readonly by: string;
  readonly reason: string;
}

const epsilon = 1e-9; // weights are shares: 0.1 + 0.2 must be 0.3

/** What the votes have decided by themselves, if anything. */
export function tally(state: ProposalState): Conclusion | undefined {
  if (state.status !== "open" || state.debate) return undefined;
  const broken = state.votes.find(({ kind, verdict }) => kind === "rule" && isNo(verdict));
  if (broken) return no(broken, `rule ${broken.voter} refused`);
  const veto = votersOf(state).find(({ verdict }) => verdict === "veto");
  if (veto && state.mode === "approve") return no(veto, `${veto.voter} objected`);
  return state.mode === "veto" ? objections(state) : approvals(state);
}

function approvals(state: ProposalState): Conclusion | undefined {
  const { quorum } = state;
  const [yes, against] = [weightOf(state, "approve"), weightOf(state, "reject")];
  if (yes + epsilon >= quorum && hasAllRules(state)) {
    const what = quorum === 0 ? "every rule passed" : `${show(yes)} of ${show(quorum)} approved`;
    return { status: "approved", by: lastOf(state, "approve"), reason: what };
  }
  if (against === 0) return undefined;
  const isOpen = hasRoles(state);
  // Who has a role may come yet, so nobody can count who is left: as many as would have approved.
  const isOut = isOpen ? against + epsilon >= quorum : reachable(state) + epsilon < quorum;
  if (!isOut) return undefined;
  const count = `${show(yes)} approved, ${show(against)} rejected, ${show(quorum)} needed`;
  const reason = `rejected: ${count}`;
  return { status: "vetoed", by: lastOf(state, "reject"), reason };
}

function objections(state: ProposalState): Conclusion | undefined {
  const weight = weightOf(state, "veto") + weightOf(state, "reject");
  if (weight === 0 || weight + epsilon < state.quorum) return undefined;
  const last = votersOf(state).findLast(({ verdict }) => isNo(verdict))!;
  return no(last, `${last.voter} objected`);
}

/** What the passing of time has decided, if anything. */
export function overdue(state: ProposalState, now: number): Conclusion | undefined {
  if (state.status !== "open") return undefined;
  const next = state.levels[state.level];
  const isLate = now >= state.deadlineAt;
  const goesAhead = willGoAhead(state);
  if (isLate && goesAhead) {
    return { status: "approved", by: "deadline", reason: "nobody objected in time" };
  }
  if (next && !goesAhead && now >= state.deadlineAt - next.earlyMs) {
    const why = isLate ? "not decided in time" : "the deadline is near";
    return { status: "escalated", by: "deadline", reason: why };
  }
  if (!isLate) return undefined;
  const reason = missing(state);
  if (state.otherwise === "approve" && hasAllRules(state)) {
    return { status: "approved", by: "deadline", reason: `by default: ${reason}` };
  }
  if (state.otherwise === "veto") {
    return { status: "vetoed", by: "deadline", reason: `by default: ${reason}` };
  }
  return { status: "expired", by: "deadline", reason };
}

/** Whether it happens at its deadline, if nobody objects until then. */
export function willGoAhead(state: ProposalState): boolean {
  return state.mode === "veto" && hasAllRules(state) && hasBeenSeen(state);
}

function missing(state: ProposalState): string {
  if (state.debate) return "the debate came to no end in time";
  if (!hasAllRules(state)) return "the rules were not applied to what was changed";
  if (state.mode === "veto") {
    return `${seenBy(state)} of ${state.minSeen} voters have seen it`;
  }
  return `${show(weightOf(state, "approve"))} of ${show(state.quorum)} approved in time`;
}

/** Votes of people and agents on what is proposed now. */
export function votersOf(state: ProposalState): readonly Vote[] {
  return state.votes.filter(({ kind }) => kind !== "rule");
}

export function weightOf(state: ProposalState, wanted: Verdict): number {
  let sum = 0;
  for (const { verdict, weight } of votersOf(state)) if (verdict === wanted) sum += weight;
  return sum;
}

/** Whether every rule has passed what is proposed now. */
export function hasAllRules({ rules, votes }: ProposalState): boolean {
  return rules.every((rule) =>
    votes.some(
      ({ voter, kind, verdict }) => kind === "rule" && voter === rule && verdict === "approve",
    ),
  );
}

/** Whether voters may come whom nobody knows yet. */
export function hasRoles({ voters, levels, level }: ProposalState): boolean {
  return [voters, ...levels.slice(level).map((next) => next.voters)].some(
    ({ roles }) => roles.length > 0,
  );
}

/** Weight of those who approved, or still may: of a closed electorate. */
export function reachable(state: ProposalState): number {
  const against = new Set(
    votersOf(state).flatMap(({ voter, verdict }) => (isNo(verdict) ? [voter] : [])),
  );
  let sum = 0;
  for (const name of eligible(state)) if (!against.has(name)) sum += weightOfName(state, name);
  return sum;
}

/** Named voters who have not worked on it, of this level and of those to come. */
export function eligible({ voters, levels, level, lineage }: ProposalState): readonly string[] {
  let names = voters.names;
  for (const next of levels.slice(level)) names = union(names, next.voters.names);
  return names.filter((name) => !lineage.includes(name));
}

export function weightOfName(state: ProposalState, name: string): number {
  const vote = votersOf(state).find(({ voter }) => voter === name);
  return vote?.weight ?? state.weights[name] ?? 1;
}

/** Votes of another mind than the outcome. */
export function dissentFrom(state: ProposalState, status: Conclusion["status"]): readonly Vote[] {
  return votersOf(state).filter(({ verdict }) =>
    status === "approved" ? isNo(verdict) : verdict === "approve",
  );
}

function hasBeenSeen(state: ProposalState): boolean {
  return seenBy(state) >= state.minSeen;
}

function seenBy(state: ProposalState): number {
  return votersOf(state).length;
}

function lastOf(state: ProposalState, wanted: Verdict): string {
  return votersOf(state).findLast(({ verdict }) => verdict === wanted)?.voter ?? "rules";
}

function no(vote: Vote, what: string): Conclusion {
  const because = vote.reason === undefined ? "" : `: ${vote.reason}`;
  return { status: "vetoed", by: vote.voter, reason: `${what}${because}` };
}

function isNo(verdict: Verdict): boolean {
  return verdict === "reject" || verdict === "veto";
}

function show(weight: number): string {
  return String(Number(weight.toFixed(3)));
}
