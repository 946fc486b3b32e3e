import { CadreError, type ErrorDetails } from "../../core/errors.ts";
import type { ProposalState } from "./proposal.ts";

type Reason = ErrorDetails["VOTE_REFUSED"]["reason"];

const because: Readonly<Record<Reason, string>> = {
  lineage: "has worked on it: who did may not judge it",
  not_a_voter: "is none of its voters",
  stale: "names a hash that is not of what is proposed now. Look at it again",
  no_veto_right: "has no right to veto it: reject it instead",
  not_the_author: "is not its author",
  not_amendable: "cannot edit what is debated",
  last_voter: "is needed for its quorum, and who edits it may not vote on it",
  not_debated: "may vote: it is no debate",
  debated: "may only take part in the debate that decides it",
  no_evidence: "brings no evidence that is new, and does not concede",
  position: "takes no position that may be taken",
  twice: "has had its turn",
  not_now: "is too early, or too late",
};

/** Why somebody's word on a proposal does not count. */
export function voteRefused(
  { id }: Pick<ProposalState, "id">,
  voter: string,
  reason: Reason,
): CadreError<"VOTE_REFUSED"> {
  const message = `Proposal ${id}: ${voter} ${because[reason]}.`;
  return new CadreError("VOTE_REFUSED", message, { proposal: id, voter, reason });
}
