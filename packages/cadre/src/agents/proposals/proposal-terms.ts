/** The terms of a proposal: its options, checked and made into what its stream holds. */
import { CadreError } from "../../core/errors.ts";
import { anything, checkOptions, oneOf, someObject, wholeNumber } from "../../core/options.ts";
import { assertVoterName, holdersOf } from "./people.ts";
import type {
  Electorate,
  EscalationLevel,
  ProposalLevel,
  ProposeOptions,
  Quorum,
  Rule,
  VoterSet,
  Weigh,
} from "./proposal.ts";
import type { Proposing } from "./proposal-log.ts";
import { joined } from "./proposal-fold.ts";

/** What the opening event holds of the options. */
export interface Terms {
  readonly voters: Electorate;
  readonly vetoBy: Electorate;
  readonly quorum: number;
  readonly weights: Readonly<Record<string, number>>;
  readonly levels: readonly ProposalLevel[];
}

const maxLevels = 8;
const maxVoters = 1_000; // of one electorate: each is a name in an event
const someNames = {
  expected: "a list of names",
  accepts: (value: unknown) => Array.isArray(value) && value.length <= maxVoters,
};
const someQuorum = {
  expected: 'a number of at least 0, "majority" or "all"',
  accepts: (value: unknown) =>
    value === "majority" ||
    value === "all" ||
    (typeof value === "number" && Number.isFinite(value) && value >= 0),
};
const aFunction = {
  expected: "a function",
  accepts: (value: unknown) => typeof value === "function",
};

/** @throws {CadreError} INVALID_OPTION */
export function checkProposeOptions(where: string, options: ProposeOptions): void {
  checkOptions(where, options, {
    voters: someObject,
    mode: oneOf("approve", "veto"),
    quorum: someQuorum,
    deadlineMs: wholeNumber(1),
    escalate: { expected: `at most ${maxLevels} levels`, accepts: isShortList },
    otherwise: oneOf("expire", "approve", "veto"),
    vetoBy: someObject,
    minSeen: wholeNumber(0),
    lineage: someNames,
    weigh: aFunction,
  });
  if (options.deadlineMs === undefined) {
    const message = `${where} has no deadline. Give deadlineMs: nothing may stay open for ever.`;
    throw new CadreError("INVALID_OPTION", message, { option: "deadlineMs" });
  }
  checkVoters(`voters of ${where}`, options.voters, true);
  if (options.vetoBy) checkVoters(`vetoBy of ${where}`, options.vetoBy, false);
  for (const level of options.escalate ?? []) {
    checkOptions(`escalate of ${where}`, level, {
      voters: someObject,
      quorum: someQuorum,
      deadlineMs: wholeNumber(1),
      earlyMs: wholeNumber(0),
    });
    if (level.voters) checkVoters(`escalate of ${where}`, level.voters, false);
  }
}

function isShortList(value: unknown): boolean {
  return Array.isArray(value) && value.length <= maxLevels;
}

function checkVoters(where: string, voters: VoterSet, takesRules: boolean): void {
  checkOptions(where, voters, {
    role: { expected: "a role", accepts: (value) => typeof value === "string" && value !== "" },
    agents: someNames,
    people: someNames,
    validators: takesRules
      ? someNames
      : { expected: "no validators: they belong to `voters`", accepts: () => false },
  });
  const { role, agents = [], people = [], validators = [] } = voters;
  for (const name of [...agents, ...people]) assertVoterName(name);
  checkRules(where, validators);
  if (role !== undefined || agents.length + people.length + validators.length > 0) return;
  throw new CadreError("INVALID_OPTION", `There is nobody in ${where}.`, { option: "voters" });
}

function checkRules(where: string, rules: readonly Rule[]): void {
  const names = new Set<string>();
  for (const rule of rules) {
    checkOptions(`a validator of ${where}`, rule, { name: anything, check: aFunction });
    assertVoterName(rule.name);
    if (names.has(rule.name)) {
      const message = `Two validators of ${where} are named "${rule.name}".`;
      throw new CadreError("INVALID_OPTION", message, { option: "validators" });
    }
    names.add(rule.name);
  }
}

/**
 * Resolves names, weights and quorums as they are now.
 * @throws {CadreError} INVALID_OPTION, when a quorum can never be reached
 */
export async function termsOf(
  context: Proposing,
  options: ProposeOptions,
  lineage: readonly string[],
): Promise<Terms> {
  const voters = electorateOf(options.voters);
  const vetoBy = options.vetoBy ? electorateOf(options.vetoBy) : nobody;
  const steps = (options.escalate ?? []).map((level) => ({
    level,
    voters: level.voters ? electorateOf(level.voters) : nobody,
  }));
  const everybody = steps.reduce((all, step) => joined(all, step.voters), voters);
  const weigh = options.weigh ?? context.weigh;
  const weights = weigh ? await weightsOf(context, weigh, everybody) : {};
  const weightOf = (name: string): number => weights[name] ?? 1;
  const mode = options.mode ?? "approve";
  const resolve = (quorum: Quorum | undefined, electorate: Electorate): number => {
    const names = electorate.names.filter((name) => !lineage.includes(name));
    return quorumOf(quorum, { electorate, weights: names.map(weightOf), mode });
  };
  const quorum = resolve(options.quorum, voters);
  let known = voters;
  let before = quorum;
  const levels = steps.map(({ level, voters: more }): ProposalLevel => {
    known = joined(known, more);
    const needed = level.quorum === undefined ? before : resolve(level.quorum, known);
    before = needed;
    return levelOf(level, more, needed);
  });
  const names = everybody.names.filter((name) => !lineage.includes(name));
  const possible = names.reduce((sum, name) => sum + weightOf(name), 0);
  const least = Math.min(quorum, ...levels.map((each) => each.quorum));
  if (everybody.roles.length === 0 && least > possible) throw unreachable(least, possible);
  return { voters, vetoBy, quorum, weights, levels };
}

const nobody: Electorate = { roles: [], names: [] };

export function electorateOf({ role, agents = [], people = [] }: VoterSet): Electorate {
  return {
    roles: role === undefined ? [] : [role],
    names: [...new Set([...agents, ...people])],
  };
}

function levelOf(level: EscalationLevel, voters: Electorate, quorum: number): ProposalLevel {
  return { voters, quorum, deadlineMs: level.deadlineMs, earlyMs: level.earlyMs ?? 0 };
}

/** Weights as they are when it is opened: the votes count the same in every process. */
export async function weightsOf(
  context: Proposing,
  weigh: Weigh,
  { names, roles }: Electorate,
): Promise<Readonly<Record<string, number>>> {
  const weights: Record<string, number> = {};
  for (const role of roles) {
    for (const name of await holdersOf(context, role)) {
      weights[name] = checkedWeight(name, await weigh(name, role));
    }
  }
  for (const name of names) weights[name] = checkedWeight(name, await weigh(name, ""));
  return weights;
}

/** @throws {CadreError} INVALID_OPTION */
export function checkedWeight(name: string, weight: number): number {
  if (Number.isFinite(weight) && weight >= 0) return weight;
  const message = `The vote of "${name}" weighs ${weight}. Let \`weigh\` give a number from 0.`;
  throw new CadreError("INVALID_OPTION", message, { option: "weigh", value: weight });
}

/** A quorum in weights. @throws {CadreError} INVALID_OPTION */
export function quorumOf(
  quorum: Quorum | undefined,
  known: {
    readonly electorate: Electorate;
    readonly weights: readonly number[];
    readonly mode: "approve" | "veto";
  },
): number {
  const { electorate, weights, mode } = known;
  const isOpen = electorate.roles.length > 0;
  if (typeof quorum === "number") return mode === "veto" && quorum === 0 ? 1 : quorum;
  if (quorum === undefined) {
    if (mode === "veto" || isOpen) return 1;
    return electorate.names.length === 0 ? 0 : majorityOf(weights);
  }
  if (isOpen) {
    const message =
      `A quorum of "${quorum}" needs voters that are known by name, and a role is open to ` +
      "whoever has it. Give a number.";
    throw new CadreError("INVALID_OPTION", message, { option: "quorum", value: quorum });
  }
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  // All of nobody would have agreed before anybody was asked.
  if (total === 0) throw unreachable(quorum, total);
  return quorum === "all" ? total : majorityOf(weights);
}

/** More than half: of equal votes a whole number, of weights a thousandth more. */
function majorityOf(weights: readonly number[]): number {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (weights.every((weight) => weight === 1)) return Math.floor(total / 2) + 1;
  return Number((total / 2 + 0.001).toFixed(3));
}

function unreachable(quorum: Quorum, possible: number): CadreError {
  const message =
    `The quorum is ${quorum}, and all who may vote together weigh ${possible}. ` +
    "Who has worked on what is proposed may not vote on it: name others, or a lower quorum.";
  return new CadreError("INVALID_OPTION", message, { option: "quorum", value: quorum });
}
