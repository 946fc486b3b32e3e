/**
 * The debate: a proposal whose voters argue before it is decided.
 *
 *   openings (sealed) ──all in, or time up──▶ round 1 ─▶ … ─▶ round N ─▶ judging ─▶ decided
 *                                               │  all of one mind, or       │
 *                                               └─ the turns are used up ────┘
 *
 * An opening is kept from the bus and from the other debaters: the stream gets a commitment, the
 * SHA-256 of the opening and a random salt, and the text lies in a private stream of its own until
 * all are in or the time is up; then all are revealed in one event, and each must fit its
 * commitment. A turn adds evidence that nobody has brought yet, or concedes; one that does neither
 * is refused, and an agent's is forfeited.
 */
import type { JsonValue } from "../../core/json.ts";
import type { Quorum, Weigh } from "./proposal.ts";

export type DebatePhase = "openings" | "rounds" | "judging";

export type DebaterKind = "agent" | "person" | "function";

/** What a debater says first, before it knows what the others say. */
export interface DebateOpening {
  readonly position: string;
  readonly argument?: string;
  readonly evidence?: readonly unknown[];
}

/** What a debater says in a round: new evidence, or that it takes another's position over. */
export interface DebateReply {
  readonly argument?: string;
  readonly evidence?: readonly unknown[];
  /** The position that it takes over. */
  readonly concedes?: string;
}

/** What a debater is shown when it is asked. */
export interface DebateView {
  readonly proposalId: string;
  readonly question: string;
  readonly content: JsonValue;
  /** Who is asked. */
  readonly debater: string;
  /** The positions that may be taken, where they are given. */
  readonly positions?: readonly string[];
  /** 0 for the opening. */
  readonly round: number;
  readonly rounds: number;
  /** What the debater holds now. */
  readonly position?: string;
  /** All that has been said in earlier rounds; nothing before the openings are revealed. */
  readonly transcript: readonly DebateTurn[];
}

/** A debater: a name, of an agent or a person, or a function. */
export type Debater =
  | string
  | { readonly person: string }
  | {
      readonly name: string;
      readonly open: (view: DebateView) => DebateOpening | Promise<DebateOpening>;
      readonly turn: (view: DebateView) => DebateReply | Promise<DebateReply>;
    };

/** What a judge says. */
export interface Judgement {
  readonly position: string;
  readonly reason?: string;
}

/** What a judge is shown. */
export type JudgeView = Omit<DebateView, "debater" | "position"> & {
  /** The positions that are still held. */
  readonly held: readonly string[];
};

export type Judge =
  | string
  | { readonly person: string }
  | {
      readonly name: string;
      readonly judge: (view: JudgeView) => Judgement | Promise<Judgement>;
    };

/** What to do when two positions weigh the same. */
export type TieRule = "undecided" | "most-evidence" | { readonly position: string };

export interface DebateOptions {
  /** At least two, none of whom has worked on the question. */
  readonly debaters: readonly Debater[];
  /** Positions that may be taken. @default any */
  readonly positions?: readonly string[];
  /** Rounds of turns after the openings. @default 2 */
  readonly rounds?: number;
  /** For the openings, and for each round, in milliseconds. @default an equal share of the whole */
  readonly roundMs?: number;
  /** For all of it, in milliseconds. */
  readonly deadlineMs: number;
  /** Who decides. @default the debaters, by where they stand in the end */
  readonly judges?: readonly Judge[];
  /** Weight that a position needs. @default more than half of what was voted */
  readonly quorum?: Quorum;
  /** @default "undecided" */
  readonly tie?: TieRule;
  /** Turns in all, openings included. @default no limit but the rounds */
  readonly maxTurns?: number;
  /**
   * Asked before each round; `false`: there is no budget for another, and what was said is judged.
   */
  readonly affords?: (debate: DebateState) => boolean | Promise<boolean>;
  /** Names beside those that are found that may take no part. */
  readonly lineage?: readonly string[];
  /** @default the team's `weigh`, else every vote weighs 1 */
  readonly weigh?: Weigh;
}

export interface DebaterState {
  readonly name: string;
  readonly kind: DebaterKind;
  /** Hash of its sealed opening. */
  readonly commitment?: string;
  /** What it holds; unknown until the openings are revealed. */
  readonly position?: string;
  readonly hasConceded: boolean;
  /** Openings and turns that it let go by. */
  readonly forfeits: number;
}

/** One turn of the transcript; round 0 is the opening. */
export interface DebateTurn {
  readonly debater: string;
  readonly round: number;
  readonly position: string;
  readonly argument: string;
  readonly evidence: readonly JsonValue[];
  readonly concedes?: string;
}

export interface DebateVerdict {
  readonly judge: string;
  readonly position: string;
  readonly weight: number;
  readonly reason?: string;
}

/** Where a debate stands. */
export interface DebateState {
  readonly phase: DebatePhase;
  /** The round that runs; 0 for the openings. */
  readonly round: number;
  readonly rounds: number;
  readonly roundMs: number;
  /** Unix milliseconds: the end of the openings, or of the round. */
  readonly dueAt: number;
  readonly positions?: readonly string[];
  readonly debaters: readonly DebaterState[];
  readonly judges: readonly { readonly name: string; readonly kind: DebaterKind }[];
  /** `true`: its voters approve or reject what is proposed, and the debaters are they. */
  readonly votes: boolean;
  readonly tie: TieRule;
  readonly maxTurns?: number;
  readonly turns: readonly DebateTurn[];
  /** Who has let the opening (0) or a round go by. */
  readonly forfeited: readonly { readonly debater: string; readonly round: number }[];
  readonly verdicts: readonly DebateVerdict[];
}

/** How a debate ended. */
export interface DebateResult {
  readonly proposalId: string;
  readonly decided: boolean;
  /** What was decided on. */
  readonly position?: string;
  readonly reason: string;
  /** Who was of another mind in the end, with what they last said. */
  readonly dissent: readonly DebateTurn[];
  readonly transcript: readonly DebateTurn[];
  readonly verdicts: readonly DebateVerdict[];
}
