/**
 * Trust as a fold of the log: what was seen of an agent's work in a capability.
 *
 *   verdict ─▶ weight, bounded for each judge ─▶ good | bad, halved with every half-life ─▶ score
 *
 *   task failed, retried, lease lost     bad        task completed, late      bad
 *   task completed in time               good, a little: it says so itself
 *   validators, people who voted         good or bad, once the proposal is decided
 *
 * Nobody judges his own: what an agent says of work that it, or anybody of its lineage, has taken
 * part in counts for nothing; nor does a task count that was given by who does it, as its child or
 * in a feature. Violations are counted apart: a name on a forged event is no fault of its bearer.
 */

/** What is known of one agent in one capability. */
export interface ScoreRecord {
  readonly agent: string;
  readonly capability: string;
  /** Weights of verdicts as of `at`, without the prior. */
  good: number;
  bad: number;
  /** Unix milliseconds of the last verdict. */
  at: number;
  /** How many verdicts there were. */
  verdicts: number;
  /** What each judge has contributed, as of `at`. */
  readonly judges: Record<string, number>;
}

/** A task as far as it matters for who may judge it. */
export interface KnownTask {
  readonly capability: string;
  readonly deadlineAt?: number;
  /** Who gave it: the agents at work on the tasks above it. */
  readonly above: readonly string[];
  readonly agents: string[];
  owner?: string;
  /** The feature that it makes the plan of. */
  readonly plans?: string;
}

/** Who gives the tasks of a feature: the agents at work above it, and those that plan it. */
export type Givers = string[];

export interface KnownProposal {
  readonly author: string;
  readonly capability: string;
  readonly lineage: readonly string[];
  votes: Record<string, { readonly good: boolean; readonly kind: string }>;
}

/** A change of a score that is to be told. */
export interface ScoreChange {
  readonly agent: string;
  readonly capability: string;
  readonly score: number;
  readonly previous: number;
  readonly alpha: number;
  readonly beta: number;
  readonly reason: string;
  /** The event that it follows from, and when that was. */
  readonly causeId: string;
  readonly correlationId: string;
  readonly at: number;
}

/** JSON all through: checkpoints keep it. Changed in place by its fold. */
export interface TrustState {
  readonly scores: Record<string, ScoreRecord>;
  readonly tasks: Record<string, KnownTask>;
  readonly proposals: Record<string, KnownProposal>;
  /** Only of features that somebody at work has opened or plans. */
  readonly features: Record<string, Givers>;
  /** By agent and rule; beyond a bound of names, under one for all others. */
  readonly violations: Record<string, Record<string, number>>;
  /**
   * By the id of the `score.updated` that tells of it; gone when that is in the log. Where nobody
   * tells, the oldest are dropped.
   */
  readonly untold: Record<string, ScoreChange>;
}

export interface TrustTerms {
  /** In which what was seen counts half. */
  readonly halfLifeMs: number;
  /** What a newcomer is taken for. */
  readonly prior: { readonly good: number; readonly bad: number };
  /** What one judge can contribute to one score, as weights of verdicts. */
  readonly maxPerJudge: number;
}

export const defaultTerms: TrustTerms = {
  halfLifeMs: 30 * 86_400_000, // a month: agents change with their models and prompts
  prior: { good: 1, bad: 1 }, // nothing is known: every share is as likely
  maxPerJudge: 5, // the sixth word of one judge changes nothing until time has passed
};

export function emptyTrust(): TrustState {
  return {
    scores: emptyTable(),
    tasks: emptyTable(),
    proposals: emptyTable(),
    features: emptyTable(),
    violations: emptyTable(),
    untold: emptyTable(),
  };
}

export function emptyTable<Value>(): Record<string, Value> {
  return {};
}

/** A name as a key: names come from outside, and some mean something to an object. */
export function keyOf(name: unknown): string {
  return `:${String(name)}`;
}

export function nameOf(key: string): string {
  return key.slice(1);
}

export function scoreKey(agent: string, capability: string): string {
  return `${agent} ${capability}`;
}

/** What is left after a time of a weight. */
export function decayed(weight: number, ms: number, { halfLifeMs }: TrustTerms): number {
  return ms <= 0 ? weight : weight * 0.5 ** (ms / halfLifeMs);
}

/** The distribution at an instant: what is known fades back into the prior. */
export function betaAt(
  record: ScoreRecord | undefined,
  at: number,
  terms: TrustTerms,
): { readonly alpha: number; readonly beta: number } {
  const { prior } = terms;
  if (!record) return { alpha: prior.good, beta: prior.bad };
  const ms = at - record.at;
  return {
    alpha: prior.good + decayed(record.good, ms, terms),
    beta: prior.bad + decayed(record.bad, ms, terms),
  };
}
