/**
 * What happens only if others agree: validation by other agents, and actions that voters decide on.
 */
import {
  anyJson,
  count,
  fact,
  flag,
  instant,
  list,
  map,
  number,
  oneOf,
  optional,
  ordinal,
  share,
  text,
  word,
  type BuiltinFamily,
} from "./payload-schema.ts";

/** Who may vote, and when it must be decided: a member of whatever opens a proposal. */
export interface ProposalTerms {
  /** Hash of what the voters are shown: votes name it. */
  readonly contentHash?: string;
  readonly author?: string;
  readonly taskId?: string;
  /** Names that may not vote: who has worked on it. */
  readonly lineage?: readonly string[];
  /** Names of voters. */
  readonly voters?: readonly string[];
  /** Capabilities and roles whose holders may vote. */
  readonly roles?: readonly string[];
  readonly vetoVoters?: readonly string[];
  readonly vetoRoles?: readonly string[];
  /** Names of the deterministic validators. */
  readonly rules?: readonly string[];
  /** In weights of votes. */
  readonly quorum?: number;
  readonly minSeen?: number;
  readonly weights?: Readonly<Record<string, number>>;
  readonly mode?: "approve" | "veto";
  readonly otherwise?: "expire" | "approve" | "veto";
  /** The escalations to come. */
  readonly levels?: unknown;
  readonly deadlineAt?: number;
  /** Where its debaters argue before it is decided: how they stand. */
  readonly debate?: unknown;
}

export interface ValidationRequested extends ProposalTerms {
  readonly validationId: string;
  /** What is to be validated, or a reference to it. */
  readonly subject?: unknown;
  readonly validators?: readonly string[];
  readonly criteria?: unknown;
}

export interface ValidationResponded {
  readonly validationId: string;
  readonly validator: string;
  readonly verdict: "valid" | "invalid" | "unsure";
  /** 0 to 1. */
  readonly confidence?: number;
  readonly reason?: string;
  readonly evidence?: unknown;
  readonly kind?: "agent" | "person" | "rule";
  readonly contentHash?: string;
  readonly weight?: number;
  readonly ballot?: string;
  readonly late?: boolean;
}

export interface ActionProposed extends ProposalTerms {
  readonly proposalId: string;
  readonly action?: string;
  /** What the voters are shown. */
  readonly content?: unknown;
}

export interface ActionVoted {
  readonly proposalId: string;
  readonly voter: string;
  readonly verdict: "approve" | "reject" | "veto" | "abstain" | "seen";
  readonly contentHash: string;
  readonly kind?: "agent" | "person" | "rule";
  readonly weight?: number;
  /** The roles that it votes by. */
  readonly roles?: readonly string[];
  readonly reason?: string;
  readonly evidence?: unknown;
  /** 0 to 1. */
  readonly confidence?: number;
  /** The task by which an agent was asked. */
  readonly ballot?: string;
  /** It came after the end, and counts for nothing. */
  readonly late?: boolean;
}

export interface ActionAmended {
  readonly proposalId: string;
  readonly content?: unknown;
  readonly contentHash: string;
  readonly previousHash: string;
  readonly revision: number;
  /** Who edited it, and from then on may not vote on it. */
  readonly by: string;
  readonly reason?: string;
}

export interface ActionEscalated {
  readonly proposalId: string;
  readonly level: number;
  readonly deadlineAt: number;
  readonly quorum?: number;
  readonly voters?: readonly string[];
  readonly roles?: readonly string[];
  readonly reason?: string;
}

export interface ActionDecided {
  readonly proposalId: string;
  /** Who has voted, or whose vote decided. */
  readonly voter?: string;
  readonly contentHash?: string;
  readonly reason?: string;
  readonly kind?: "action" | "validation" | "debate";
  readonly approvals?: number;
  readonly rejections?: number;
  /** Votes of another mind. */
  readonly dissent?: unknown;
  /** Of a debate: what was decided on. */
  readonly position?: string;
}

export interface ActionExpired extends ActionDecided {
  readonly votes?: number;
  readonly quorum?: number;
}

export interface ActionWithdrawn {
  readonly proposalId: string;
  readonly by?: string;
  readonly reason?: string;
}

export interface DebateOpened extends ProposalTerms {
  readonly proposalId: string;
  readonly question: string;
  readonly content?: unknown;
}

/** An opening before it is revealed: it is kept from the bus. */
export interface DebateOpeningKept {
  readonly proposalId: string;
  readonly debater: string;
  readonly opening?: unknown;
  readonly salt: string;
}

export interface DebateSealed {
  readonly proposalId: string;
  readonly debater: string;
  /** Hash of the opening and its salt. */
  readonly commitment: string;
}

export interface DebateRevealed {
  readonly proposalId: string;
  readonly openings?: unknown;
}

export interface DebateTurned {
  readonly proposalId: string;
  readonly debater: string;
  readonly round: number;
  readonly argument?: string;
  readonly evidence?: unknown;
  /** The position that it takes over. */
  readonly concedes?: string;
  readonly position?: string;
}

export interface DebateForfeited {
  readonly proposalId: string;
  readonly debater: string;
  /** 0 is the opening. */
  readonly round: number;
  readonly reason: string;
}

export interface DebateRoundEnded {
  readonly proposalId: string;
  readonly round: number;
  readonly next: string;
  readonly dueAt?: number;
}

export interface DebateJudged {
  readonly proposalId: string;
  readonly judge: string;
  readonly position: string;
  readonly weight?: number;
  readonly reason?: string;
}

export type DecisionEvents = {
  "validation.requested": ValidationRequested;
  "validation.responded": ValidationResponded;
  "action.proposed": ActionProposed;
  "action.voted": ActionVoted;
  "action.amended": ActionAmended;
  "action.escalated": ActionEscalated;
  "action.approved": ActionDecided;
  "action.vetoed": ActionDecided;
  "action.expired": ActionExpired;
  "action.withdrawn": ActionWithdrawn;
  "debate.opened": DebateOpened;
  "debate.opening": DebateOpeningKept;
  "debate.sealed": DebateSealed;
  "debate.revealed": DebateRevealed;
  "debate.turned": DebateTurned;
  "debate.forfeited": DebateForfeited;
  "debate.round_ended": DebateRoundEnded;
  "debate.judged": DebateJudged;
};

const terms = {
  contentHash: optional(text),
  author: optional(word),
  taskId: optional(word),
  lineage: optional(list(word)),
  voters: optional(list(word)),
  roles: optional(list(word)),
  vetoVoters: optional(list(word)),
  vetoRoles: optional(list(word)),
  rules: optional(list(word)),
  quorum: optional(number),
  minSeen: optional(count),
  weights: optional(map(number)),
  mode: optional(oneOf("approve", "veto")),
  otherwise: optional(oneOf("expire", "approve", "veto")),
  levels: optional(anyJson),
  deadlineAt: optional(instant),
  debate: optional(anyJson),
};

const voterKind = oneOf("agent", "person", "rule");

const decided = {
  proposalId: word,
  voter: optional(word),
  contentHash: optional(text),
  reason: optional(text),
  kind: optional(oneOf("action", "validation", "debate")),
  approvals: optional(number),
  rejections: optional(number),
  dissent: optional(anyJson),
  position: optional(text),
};

export const decisionEvents: BuiltinFamily<DecisionEvents> = {
  "validation.requested": fact("Other agents are asked to check a result.", {
    ...terms,
    validationId: word,
    subject: optional(anyJson),
    validators: optional(list(word)),
    criteria: optional(anyJson),
  }),
  "validation.responded": fact("One validator's verdict.", {
    validationId: word,
    validator: word,
    verdict: oneOf("valid", "invalid", "unsure"),
    confidence: optional(share),
    reason: optional(text),
    evidence: optional(anyJson),
    kind: optional(voterKind),
    contentHash: optional(text),
    weight: optional(number),
    ballot: optional(word),
    late: optional(flag),
  }),
  "action.proposed": fact("An action waits for its voters.", {
    ...terms,
    proposalId: word,
    action: optional(text),
    content: optional(anyJson),
  }),
  "action.voted": fact("One vote, on what its hash names.", {
    proposalId: word,
    voter: word,
    verdict: oneOf("approve", "reject", "veto", "abstain", "seen"),
    contentHash: text,
    kind: optional(voterKind),
    weight: optional(number),
    roles: optional(list(word)),
    reason: optional(text),
    evidence: optional(anyJson),
    confidence: optional(share),
    ballot: optional(word),
    late: optional(flag),
  }),
  "action.amended": fact("What is proposed was edited: earlier votes count no more.", {
    proposalId: word,
    content: optional(anyJson),
    contentHash: text,
    previousHash: text,
    revision: ordinal,
    by: word,
    reason: optional(text),
  }),
  "action.escalated": fact("It was not decided: more voters, or more time.", {
    proposalId: word,
    level: ordinal,
    deadlineAt: instant,
    quorum: optional(number),
    voters: optional(list(word)),
    roles: optional(list(word)),
    reason: optional(text),
  }),
  "action.approved": fact("The action may happen.", decided),
  "action.vetoed": fact("The action must not happen.", decided),
  "action.expired": fact("The voters have not decided in time.", {
    ...decided,
    votes: optional(count),
    quorum: optional(number),
  }),
  "action.withdrawn": fact("Nobody asks for the action any more.", {
    proposalId: word,
    by: optional(word),
    reason: optional(text),
  }),
  "debate.opened": fact("A question waits for its debaters.", {
    ...terms,
    proposalId: word,
    question: text,
    content: optional(anyJson),
  }),
  "debate.opening": fact("An opening before it is revealed, kept from the bus.", {
    proposalId: word,
    debater: word,
    opening: optional(anyJson),
    salt: word,
  }),
  "debate.sealed": fact("A debater has committed itself to an opening that nobody can see yet.", {
    proposalId: word,
    debater: word,
    commitment: text,
  }),
  "debate.revealed": fact("All openings, at once.", {
    proposalId: word,
    openings: optional(anyJson),
  }),
  "debate.turned": fact("A debater adds evidence, or concedes.", {
    proposalId: word,
    debater: word,
    round: ordinal,
    argument: optional(text),
    evidence: optional(anyJson),
    concedes: optional(text),
    position: optional(text),
  }),
  "debate.forfeited": fact("A debater has let an opening or a turn go by.", {
    proposalId: word,
    debater: word,
    round: count,
    reason: text,
  }),
  "debate.round_ended": fact("A round is over, and what comes next.", {
    proposalId: word,
    round: count,
    next: word,
    dueAt: optional(instant),
  }),
  "debate.judged": fact("A judge's verdict on a debate.", {
    proposalId: word,
    judge: word,
    position: text,
    weight: optional(number),
    reason: optional(text),
  }),
};
