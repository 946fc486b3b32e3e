/** How the orchestrator of a process decides. */
import { CadreError } from "../../core/errors.ts";
import { anything, checkOptions, wholeNumber } from "../../core/options.ts";
import type { TeamContext } from "../team-context.ts";
import { thompsonSampling } from "../trust/thompson.ts";
import { leastLoaded, type AssignmentPolicy, type Score } from "./assignment.ts";

export interface OrchestratorOptions {
  /**
   * Which agent is asked first. `least-loaded` is the one with the most room, weighted by `score`;
   * `thompson` the one that does best in a draw from what is known of each, for teams that keep
   * trust.
   * @default "least-loaded"
   */
  readonly assignment?: "least-loaded" | "thompson" | AssignmentPolicy;
  /**
   * What an agent is trusted with a capability: 0 is not at all. @default its score, where the team
   * keeps trust; else 1 for each
   */
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
export function orchestratorSettings(
  given: OrchestratorOptions = {},
  context: Pick<TeamContext, "trust" | "random">,
): OrchestratorSettings {
  checkOptions("the orchestrator", given, {
    assignment: anything,
    score: anything,
    maxWaiting: wholeNumber(1),
  });
  const { trust, random } = context;
  const known: Score = trust ? (agent, capability) => trust.score(agent, capability) : () => 1;
  const { assignment = "least-loaded", score = known } = given;
  for (const [option, value] of Object.entries({ assignment, score })) {
    if (typeof value === "function" || value === "least-loaded") continue;
    if (option === "assignment" && value === "thompson" && trust) continue;
    const message =
      value === "thompson"
        ? 'Assignment "thompson" draws from scores: start the team with `trust: {}`.'
        : `Option "${option}" of the orchestrator must be a function.`;
    throw new CadreError("INVALID_OPTION", message, { option, value });
  }
  return {
    assignment: policyOf(assignment, trust, random),
    score,
    maxWaiting: given.maxWaiting ?? defaultMaxWaiting,
  };
}

function policyOf(
  assignment: NonNullable<OrchestratorOptions["assignment"]>,
  trust: TeamContext["trust"],
  random: TeamContext["random"],
): AssignmentPolicy {
  if (assignment === "thompson" && trust) {
    return thompsonSampling((agent, capability) => trust.beta(agent, capability), random);
  }
  return typeof assignment === "function" ? assignment : leastLoaded;
}
