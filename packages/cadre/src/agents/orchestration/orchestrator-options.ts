/** How the orchestrator of a process decides. */
import { CadreError } from "../../core/errors.ts";
import { anything, checkOptions, wholeNumber } from "../../core/options.ts";
import { leastLoaded, type AssignmentPolicy } from "./assignment.ts";

export interface OrchestratorOptions {
  /**
   * Which agent is asked first. `least-loaded` is the one with the most room, weighted by `score`.
   * @default "least-loaded"
   */
  readonly assignment?: "least-loaded" | AssignmentPolicy;
  /** What an agent is trusted with a capability: 0 is not at all. @default 1 for each */
  readonly score?: (agent: string, capability: string) => number;
  /**
   * Planned tasks of one capability that may wait to be claimed; those behind them stay in their
   * plans, and cost nothing. @default 1_000
   */
  readonly maxWaiting?: number;
}

export interface OrchestratorSettings {
  readonly assignment: AssignmentPolicy;
  readonly score: (agent: string, capability: string) => number;
  readonly maxWaiting: number;
}

const defaultMaxWaiting = 1_000; // enough for any number of agents until the next look

/** @throws {CadreError} INVALID_OPTION */
export function orchestratorSettings(given: OrchestratorOptions = {}): OrchestratorSettings {
  checkOptions("the orchestrator", given, {
    assignment: anything,
    score: anything,
    maxWaiting: wholeNumber(1),
  });
  const { assignment = "least-loaded", score = () => 1 } = given;
  for (const [option, value] of Object.entries({ assignment, score })) {
    if (typeof value === "function" || value === "least-loaded") continue;
    const message = `Option "${option}" of the orchestrator must be a function.`;
    throw new CadreError("INVALID_OPTION", message, { option, value });
  }
  return {
    assignment: assignment === "least-loaded" ? leastLoaded : assignment,
    score,
    maxWaiting: given.maxWaiting ?? defaultMaxWaiting,
  };
}
