/**
 * Thompson sampling as an assignment policy: every candidate draws from what is known of it, and
 * the best draw is asked. Who is known to be good is asked most; who is little known is tried now
 * and then, so that a newcomer, or one that has become better, is found.
 */
import type { Random } from "../../core/random.ts";
import type { AssignmentPolicy } from "../orchestration/assignment.ts";
import { drawBeta, type Beta } from "./beta.ts";

/**
 * @param beta what is known of an agent in a capability
 * @param random where the draws come from: the same seed makes the same choices
 */
export function thompsonSampling(
  beta: (agent: string, capability: string) => Beta,
  random: Random,
): AssignmentPolicy {
  return ({ capability }, candidates) => {
    let best: string | undefined;
    let highest = -1;
    for (const { agent, score } of candidates) {
      if (score <= 0) continue;
      const drawn = drawBeta(beta(agent, capability), random);
      if (drawn > highest) [best, highest] = [agent, drawn];
    }
    return best;
  };
}
