/** What the agents of the team say to each other: findings, tasks and events. */
import { defineEvents, type } from "cadre";
import { defineTask } from "cadre/agents";

/** Each has its codemods, in `codemods.ts`. */
export type FindingKind =
  | "compile-error" // one that the team knows no codemod for
  | "dead-code"
  | "deprecated-call"
  | "deprecated-method"
  | "failing-test"
  | "missing-await"
  | "missing-null-check"
  | "type-mismatch"
  | "unsorted-numbers";

/** Something that is wrong with the library, and where. */
export interface Finding {
  /** The same as long as it is there: kind, module and declaration. */
  readonly id: string;
  readonly kind: FindingKind;
  /** As in `src/money.ts`. */
  readonly file: string;
  /** The function in which it is. */
  readonly declaration: string;
  /** Text of the node that is meant; the first one of that text in the declaration. */
  readonly text: string;
  readonly message: string;
  /** For a deprecated function: the one to be called, and how its parameters are called. */
  readonly replacement?: { readonly name: string; readonly parameters: readonly string[] };
  /** Names of failing tests that reach it. */
  readonly tests: readonly string[];
}

/** What the compiler and the tests say of one commit. */
export interface Health {
  readonly findings: readonly Finding[];
  readonly failing: readonly string[];
  readonly passing: number;
}

/** A commit that is to be accepted, and what must hold of it. */
export interface Candidate {
  readonly commit: string;
  /** Tests that may fail: they failed before, and are not what this is about. */
  readonly mayFail: readonly string[];
  /** Ids of findings that may still be there. */
  readonly mayRemain: readonly string[];
}

export interface Change extends Candidate {
  readonly finding: string;
  readonly strategy: string;
  readonly diff: string;
}

export interface FixInput {
  readonly finding: Finding;
  readonly base: string;
  readonly health: Health;
  /** The change of the same file that comes first. */
  readonly results?: Readonly<Record<string, Change>>;
}

export interface IntegrateInput {
  readonly base: string;
  readonly round: number;
  /** Names of the planned tasks whose commits are merged: the last one of each file. */
  readonly tips: readonly string[];
  readonly results?: Readonly<Record<string, Change>>;
}

export interface MakeGreenInput {
  readonly base: string;
  /** The release that comes at the end. */
  readonly version: string;
  /** A release that its registry refuses: shows the way back. */
  readonly refusedVersion: string;
  /** So long anybody may object to the merge; without it, a maintainer must approve. */
  readonly vetoWindowMs?: number;
}

export interface MakeGreenResult {
  readonly rounds: number;
  readonly merged: boolean;
  /** Why it was merged or not. */
  readonly decision: string;
  /** How the release went that was refused. */
  readonly refused?: string;
}

export const MakeGreen = defineTask({
  name: "make-green",
  input: type<MakeGreenInput>(),
  output: type<MakeGreenResult>(),
});

export const Analyse = defineTask({
  name: "analyse",
  input: type<{ readonly commit: string; readonly round: number }>(),
  output: type<Health>(),
});

export const Fix = defineTask({
  name: "fix",
  input: type<FixInput>(),
  output: type<Change>(),
  maxAttempts: 20, // a strategy that was refused uses one up
});

export const Integrate = defineTask({
  name: "integrate",
  input: type<IntegrateInput>(),
  output: type<Candidate>(),
});

export interface Released {
  readonly commit: string;
  readonly tag: string;
}

export type TeamEvents = {
  readonly "library.finding.reported": {
    readonly round: number;
    readonly id: string;
    readonly message: string;
    readonly tests: readonly string[];
  };
  readonly "team.worker.killed": { readonly worker: string };
};

export const teamEvents = defineEvents({
  "library.finding.reported": type<TeamEvents["library.finding.reported"]>(),
  "team.worker.killed": type<TeamEvents["team.worker.killed"]>(),
});
