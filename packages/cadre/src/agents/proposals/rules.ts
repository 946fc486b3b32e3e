/** Deterministic validators: plain functions that are asked before anybody else. */
import { describeError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { toFrozenJson, type JsonValue } from "../../core/json.ts";
import { teamEvent } from "../team-context.ts";
import type { ProposalKind, ProposalState, Rule } from "./proposal.ts";
import type { Proposing } from "./proposal-log.ts";

interface RuleVote {
  readonly rule: string;
  readonly passed: boolean;
  readonly reason?: string;
  readonly evidence?: JsonValue;
}

/** Asks one rule after the other, and none behind one that refuses. A rule that throws refuses. */
export async function askRules(
  rules: readonly Rule[],
  content: JsonValue,
): Promise<readonly RuleVote[]> {
  const votes: RuleVote[] = [];
  for (const rule of rules) {
    const vote = await askRule(rule, content);
    votes.push(vote);
    if (!vote.passed) break;
  }
  return votes;
}

async function askRule({ name, check }: Rule, content: JsonValue): Promise<RuleVote> {
  try {
    const answer = await check(content);
    if (typeof answer === "string") return { rule: name, passed: false, reason: answer };
    if (typeof answer === "boolean") return { rule: name, passed: answer };
    const { passed, reason, evidence } = answer;
    return {
      rule: name,
      passed,
      ...(reason === undefined ? {} : { reason }),
      ...(evidence === undefined ? {} : { evidence: toFrozenJson(evidence) }),
    };
  } catch (error) {
    return { rule: name, passed: false, reason: describeError(error).message };
  }
}

/** A rule's answer as the vote that it is. */
export function ruleVoted(
  context: Proposing,
  { id, kind, contentHash }: Pick<ProposalState, "id" | "kind" | "contentHash">,
  { rule, passed, reason, evidence }: RuleVote,
  cause: AgentEvent,
): AgentEvent {
  const fields = {
    kind: "rule",
    contentHash,
    weight: 0,
    ...(reason === undefined ? {} : { reason }),
    ...(evidence === undefined ? {} : { evidence }),
  };
  const verdict = passed ? "approve" : "reject";
  return voteEvent(context, { id, kind }, { voter: rule, verdict, fields }, cause);
}

/** A vote in the words of what is voted on. */
export function voteEvent(
  context: Proposing,
  { id, kind }: { readonly id: string; readonly kind: ProposalKind },
  vote: {
    readonly voter: string;
    readonly verdict: string;
    readonly fields: Readonly<Record<string, unknown>>;
  },
  cause: AgentEvent,
): AgentEvent {
  const { voter, verdict, fields } = vote;
  const said =
    kind === "validation"
      ? { validationId: id, validator: voter, verdict: validatorsWord(verdict) }
      : { proposalId: id, voter, verdict };
  const type = kind === "validation" ? "validation.responded" : "action.voted";
  return teamEvent(context, context.name, type, { ...said, ...fields }, { cause });
}

function validatorsWord(verdict: string): string {
  if (verdict === "approve") return "valid";
  return verdict === "reject" || verdict === "veto" ? "invalid" : "unsure";
}
