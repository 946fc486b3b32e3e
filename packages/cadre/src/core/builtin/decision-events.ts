/**
 * What happens only if others agree: validation by other agents, and actions that voters decide on.
 */
import {
  anyJson,
  count,
  fact,
  instant,
  list,
  oneOf,
  optional,
  share,
  text,
  word,
  type BuiltinFamily,
} from "./payload-schema.ts";

export interface ValidationRequested {
  readonly validationId: string;
  /** What is to be validated, or a reference to it. */
  readonly subject?: unknown;
  readonly taskId?: string;
  readonly validators?: readonly string[];
  readonly criteria?: unknown;
  readonly deadlineAt?: number;
}

export interface ValidationResponded {
  readonly validationId: string;
  readonly validator: string;
  readonly verdict: "valid" | "invalid" | "unsure";
  /** 0 to 1. */
  readonly confidence?: number;
  readonly reason?: string;
  readonly evidence?: unknown;
}

export interface ActionProposed {
  readonly proposalId: string;
  readonly action?: string;
  /** What the voters are shown. */
  readonly content?: unknown;
  /** Of the content: votes name it, so that nobody votes on what was changed since. */
  readonly contentHash?: string;
  readonly author?: string;
  readonly voters?: readonly string[];
  readonly quorum?: number;
  readonly mode?: "approve" | "veto";
  readonly deadlineAt?: number;
}

export interface ActionDecided {
  readonly proposalId: string;
  /** Who has voted, or whose vote decided. */
  readonly voter?: string;
  readonly contentHash?: string;
  readonly reason?: string;
}

export interface ActionExpired {
  readonly proposalId: string;
  readonly votes?: number;
  readonly quorum?: number;
}

export type DecisionEvents = {
  "validation.requested": ValidationRequested;
  "validation.responded": ValidationResponded;
  "action.proposed": ActionProposed;
  "action.approved": ActionDecided;
  "action.vetoed": ActionDecided;
  "action.expired": ActionExpired;
};

const decided = {
  proposalId: word,
  voter: optional(word),
  contentHash: optional(text),
  reason: optional(text),
};

export const decisionEvents: BuiltinFamily<DecisionEvents> = {
  "validation.requested": fact("Other agents are asked to check a result.", {
    validationId: word,
    subject: optional(anyJson),
    taskId: optional(word),
    validators: optional(list(word)),
    criteria: optional(anyJson),
    deadlineAt: optional(instant),
  }),
  "validation.responded": fact("One validator's verdict.", {
    validationId: word,
    validator: word,
    verdict: oneOf("valid", "invalid", "unsure"),
    confidence: optional(share),
    reason: optional(text),
    evidence: optional(anyJson),
  }),
  "action.proposed": fact("An action waits for its voters.", {
    proposalId: word,
    action: optional(text),
    content: optional(anyJson),
    contentHash: optional(text),
    author: optional(word),
    voters: optional(list(word)),
    quorum: optional(count),
    mode: optional(oneOf("approve", "veto")),
    deadlineAt: optional(instant),
  }),
  "action.approved": fact("The action may happen.", decided),
  "action.vetoed": fact("The action must not happen.", decided),
  "action.expired": fact("The voters have not decided in time.", {
    proposalId: word,
    votes: optional(count),
    quorum: optional(count),
  }),
};
