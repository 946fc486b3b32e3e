/**
 * Cross-agent validation: the results of a task are released only when others have passed them.
 *
 *   round 1: run ─▶ rules ─▶ validators ─passed──▶ task.completed
 *                     └────────┴─refused─▶ round 2: run, with their reasons … ─▶ the last: failed
 *
 * What was given to the validators is what is released, in every later attempt too; names of steps
 * are kept apart by round, so that a second round does not get the results of the first.
 */
import { anything, checkOptions, numberBetween, wholeNumber } from "../../core/options.ts";
import type { SignalOptions, TaskContext } from "../agent.ts";
import type { TaskDefinition } from "../task.ts";
import type { Quorum, VoterSet } from "./proposal.ts";
import { isValidationFailed } from "./proposer.ts";
import { checkProposeOptions } from "./proposal-terms.ts";

/** Who must pass a task's results. */
export interface TaskValidation {
  /** Rules first; then the agents and people who validate, if there are any. */
  readonly voters: VoterSet;
  /** @default a majority of named voters, 1 where there is a role, 0 with rules alone */
  readonly quorum?: Quorum;
  /** For each round, in milliseconds. */
  readonly deadlineMs: number;
  /** Tries in all, each with the reasons of the one before. @default 3 */
  readonly rounds?: number;
  /**
   * Only results of an agent whose score for the task's capability is under this; 0 to 1. Where a
   * team keeps no scores, all. @default all
   */
  readonly below?: number;
}

export interface ValidationReason {
  readonly validator: string;
  readonly reason: string;
}

const presetRounds = 3;
const maxRounds = 100;

/** @throws {CadreError} INVALID_OPTION */
export function checkValidation(task: string, validation: TaskValidation): void {
  const where = `validate of task "${task}"`;
  const { rounds: _rounds, below: _below, ...rest } = validation;
  checkOptions(where, validation, {
    voters: anything,
    quorum: anything,
    deadlineMs: anything,
    rounds: wholeNumber(1, maxRounds),
    below: numberBetween(0, 1),
  });
  checkProposeOptions(where, rest);
}

/** Runs a handler until its result is passed. @throws {CadreError} VALIDATION_FAILED */
export async function runValidated(how: {
  readonly definition: TaskDefinition;
  readonly validate: TaskValidation;
  readonly context: TaskContext;
  readonly run: (context: TaskContext) => unknown;
  /** Drops what the last round held back: it was not passed. */
  readonly forget: () => void;
}): Promise<unknown> {
  const { definition, validate, context, run, forget } = how;
  const { rounds = presetRounds, below: _below, ...options } = validate;
  let feedback: readonly ValidationReason[] = [];
  for (let round = 1; ; round += 1) {
    const result = definition.checkOutput(await run(inRound(context, round, feedback)));
    try {
      return await context.validated(result, { ...options, name: `validate.${round}` });
    } catch (error) {
      // Nobody answered: another try would find nobody either.
      if (!isValidationFailed(error) || error.details.expired || round >= rounds) throw error;
      feedback = error.details.reasons;
      forget();
    }
  }
}

/** The context of one round: its own names, and why the last one was refused. */
function inRound(
  context: TaskContext,
  round: number,
  feedback: readonly ValidationReason[],
): TaskContext {
  if (round === 1) return context;
  const own = (name: string): string => `${name}#${round}`;
  return {
    ...context,
    round,
    feedback,
    // One function behind both overloads.
    step: ((name: string, ...rest: never[]) =>
      (context.step as (...all: unknown[]) => unknown)(own(name), ...rest)) as TaskContext["step"],
    sleep: (name, ms) => context.sleep(own(name), ms),
    waitFor: (pattern, options: SignalOptions = {}) =>
      context.waitFor(pattern, { ...options, name: own(options.name ?? pattern) }),
    call: (name, task, input, options) => context.call(own(name), task, input, options),
    spawn: (name, task, input, options) => context.spawn(own(name), task, input, options),
    feature: (name, plan) => context.feature(own(name), plan),
    scatter: (name, task, to, options) => context.scatter(own(name), task, to, options),
    map: ((name: string, ...rest: never[]) =>
      (context.map as (...all: unknown[]) => unknown)(own(name), ...rest)) as TaskContext["map"],
    propose: (what, options) => {
      const action = typeof what === "string" ? what : what.action;
      return context.propose(what, { ...options, name: own(options.name ?? action) });
    },
    validated: (result, options) =>
      context.validated(result, { ...options, name: own(options.name ?? "validated") }),
    debate: (question, options) =>
      context.debate(question, { ...options, name: own(options.name ?? question) }),
  };
}
