/**
 * The proposal: something that happens only if its voters agree.
 *
 *                    ┌── amend: a new hash, votes count no more ──┐
 *                    ▼                                            │
 *   proposed ──▶ open ──────────────── votes ─────────────────────┤
 *                    │  ├─ deadline, next level ──▶ escalated ────┘
 *                    │  ├──▶ approved    quorum reached; or a veto window that nobody used
 *                    │  ├──▶ vetoed      a veto, or the quorum is out of reach
 *                    │  ├──▶ expired     not decided in time, at the last level
 *                    │  └──▶ withdrawn   by its author, or with the task that asked
 *
 * A proposal is the stream `proposal/<id>`; every transition is an append with the expected
 * version, so the first valid outcome wins and there is one. A vote names the hash of what was
 * shown. The slot of the same name is there as long as it is open, for whoever looks for what is
 * due.
 */
import type { JsonValue } from "../../core/json.ts";
import type { DebateState } from "./debate.ts";

export type ProposalStatus = "open" | "approved" | "vetoed" | "expired" | "withdrawn";

/** `approve`: needs a quorum. `veto`: goes ahead at its deadline unless somebody objects. */
export type ProposalMode = "approve" | "veto";

export type ProposalKind = "action" | "validation" | "debate";

/** `seen` is no opinion: it says only that the voter was shown it. */
export type Verdict = "approve" | "reject" | "veto" | "abstain" | "seen";

export type VoterKind = "agent" | "person" | "rule";

/** What a rule says: `true` is yes, `false` and a text are no. */
export type RuleAnswer =
  | boolean
  | string
  | { readonly passed: boolean; readonly reason?: string; readonly evidence?: unknown };

/**
 * A deterministic validator: a plain function of what is proposed. It runs before anybody is asked,
 * and one that refuses ends the proposal. It is no voter and counts for no quorum.
 */
export interface Rule {
  readonly name: string;
  readonly check: (content: JsonValue) => RuleAnswer | Promise<RuleAnswer>;
}

/** Who decides. All members together are one electorate. */
export interface VoterSet {
  /** Every agent that has this capability, and every person that has this role. */
  readonly role?: string;
  /** Agents by name. One that `votes` is asked; any other may vote by itself. */
  readonly agents?: readonly string[];
  /** People by name. */
  readonly people?: readonly string[];
  readonly validators?: readonly Rule[];
}

/** Approvals needed, or, with mode `veto`, objections. `majority` and `all` need named voters. */
export type Quorum = number | "majority" | "all";

/** What follows when a deadline passes without a decision. */
export interface EscalationLevel {
  /** Voters beside those that there are. @default none: only more time */
  readonly voters?: Omit<VoterSet, "validators">;
  /** @default as before */
  readonly quorum?: Quorum;
  /** From the escalation on, in milliseconds. */
  readonly deadlineMs: number;
  /** So long before the deadline before it. @default 0: when it passes */
  readonly earlyMs?: number;
}

/**
 * The weight of a voter's vote, asked when the proposal is opened, or for a voter that nobody knew
 * then, when it votes. 0 or more.
 * @param capability the role that it votes by; empty for one that is named
 */
export type Weigh = (voter: string, capability: string) => number | Promise<number>;

export interface ProposeOptions {
  readonly voters: VoterSet;
  /** @default "approve" */
  readonly mode?: ProposalMode;
  /**
   * @default with mode "approve" a majority of named voters, 1 where there is a role, 0 with rules
   * alone; with mode "veto" 1
   */
  readonly quorum?: Quorum;
  /** To decide, in milliseconds. */
  readonly deadlineMs: number;
  /** At most 8 levels, one after the other. @default none */
  readonly escalate?: readonly EscalationLevel[];
  /** What comes of it when the last deadline passes undecided. @default "expire" */
  readonly otherwise?: "expire" | "approve" | "veto";
  /** Who may end it with one veto, beside the voters of a veto window. @default nobody */
  readonly vetoBy?: Omit<VoterSet, "validators">;
  /** With mode "veto": voters that must have seen it, or it does not go ahead. @default 0 */
  readonly minSeen?: number;
  /** Names beside those that are found that may not vote: who else has worked on it. */
  readonly lineage?: readonly string[];
  /** @default the team's `weigh`, else every vote weighs 1 */
  readonly weigh?: Weigh;
}

export interface Vote {
  readonly voter: string;
  readonly kind: VoterKind;
  readonly verdict: Verdict;
  /** The hash that it names. */
  readonly contentHash: string;
  readonly weight: number;
  readonly reason?: string;
  readonly evidence?: JsonValue;
  /** 0 to 1. */
  readonly confidence?: number;
  /** The ballot that it answers, where an agent was asked. */
  readonly ballot?: string;
  /** Unix milliseconds. */
  readonly at: number;
}

/** Voters of a proposal as its stream holds them. */
export interface Electorate {
  readonly roles: readonly string[];
  readonly names: readonly string[];
}

/** One level as the stream holds it. */
export interface ProposalLevel {
  readonly voters: Electorate;
  readonly quorum: number;
  readonly deadlineMs: number;
  readonly earlyMs: number;
}

/** How a proposal ended. */
export interface ProposalOutcome {
  /** Who or what decided: a voter, a rule, `quorum`, `deadline`, an author. */
  readonly by: string;
  readonly reason: string;
  /** Weights of the votes that counted. */
  readonly approvals: number;
  readonly rejections: number;
  /** Votes that were of another mind than the outcome. */
  readonly dissent: readonly Vote[];
  /** Of a debate: the position that was decided on. */
  readonly position?: string;
  /** Unix milliseconds. */
  readonly at: number;
}

/** The fold of one proposal's stream. */
export interface ProposalState {
  readonly id: string;
  readonly kind: ProposalKind;
  readonly action: string;
  readonly content: JsonValue;
  /** SHA-256 over the canonical form (RFC 8785) of `{ action, content }`. */
  readonly contentHash: string;
  /** From 1; raised by each amendment. */
  readonly revision: number;
  /** The hash of revision 1. */
  readonly openedHash: string;
  readonly author: string;
  /** The task that asks. */
  readonly taskId?: string;
  /** Names that may not vote. */
  readonly lineage: readonly string[];
  readonly mode: ProposalMode;
  readonly voters: Electorate;
  readonly vetoBy: Electorate;
  readonly rules: readonly string[];
  readonly quorum: number;
  readonly minSeen: number;
  readonly weights: Readonly<Record<string, number>>;
  /** From 0; raised by each escalation. */
  readonly level: number;
  readonly levels: readonly ProposalLevel[];
  readonly otherwise: "expire" | "approve" | "veto";
  readonly status: ProposalStatus;
  /** The last vote of each voter on this content, in the order in which they came. */
  readonly votes: readonly Vote[];
  /** Votes that came after the end. They are on record and count for nothing. */
  readonly late: readonly Vote[];
  /** Ballots that have been counted, or set aside. */
  readonly ballots: readonly string[];
  readonly outcome?: ProposalOutcome;
  /** Of a debate: what has been said, and where it stands. */
  readonly debate?: DebateState;
  /** Unix milliseconds. */
  readonly openedAt: number;
  readonly deadlineAt: number;
  /** How long this level is, in milliseconds. */
  readonly windowMs: number;
  readonly correlationId: string;
}

/** What somebody proposes: an action, and what the voters are shown of it. */
export interface Proposed {
  /** What is to happen, in a few words: `deploy`, `send the letter`. */
  readonly action: string;
  readonly content?: unknown;
}

/** Whether nothing can happen to it any more. */
export function isDecided(status: ProposalStatus): boolean {
  return status !== "open";
}

export const proposalPrefix = "proposal/";
/** Of its stream and of its slot. */
export const proposalStream = (id: string): string => `${proposalPrefix}${id}`;
export const proposalIdOf = (stream: string): string => stream.slice(proposalPrefix.length);
