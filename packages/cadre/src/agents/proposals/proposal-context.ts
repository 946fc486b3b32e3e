import type { DebateResult } from "./debate.ts";
import type { Proposed } from "./proposal.ts";
import type {
  Decision,
  TaskDebateOptions,
  TaskProposeOptions,
  ValidateOptions,
} from "./proposer.ts";
import type { ValidationReason } from "./validation.ts";

/** What the handler of a task may let others decide. */
export interface ProposalContext {
  /** With `validate`: which try of a result it is, from 1. */
  readonly round: number;
  /** With `validate`: why the validators refused the last one; nothing in the first round. */
  readonly feedback: readonly ValidationReason[];
  /**
   * Proposes something and waits until its voters have decided; gives the slot back meanwhile. It
   * is durable: a second attempt finds the proposal of the first, and never opens another.
   *
   * @throws {CadreError} INVALID_OPTION | NOT_JSON
   * @throws {CadreError} STEP_DRIFT, when something else was proposed by this name
   */
  propose(what: Proposed | string, options: TaskProposeOptions): Promise<Decision>;
  /**
   * Gives a result to validators, rules first, and returns it when they have passed it. A later
   * attempt is given what was passed, whatever it has made itself.
   *
   * @throws {CadreError} VALIDATION_FAILED, with the validators' reasons: the task fails
   */
  validated<Result>(result: Result, options: ValidateOptions): Promise<Result>;
  /**
   * Lets debaters argue about a question, and returns what was decided; gives the slot back
   * meanwhile. Durable, as a proposal is.
   */
  debate(question: string, options: TaskDebateOptions): Promise<DebateResult>;
}
