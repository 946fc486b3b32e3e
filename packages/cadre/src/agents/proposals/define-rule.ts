import type { JsonValue } from "../../core/json.ts";
import type { Rule, RuleAnswer } from "./proposal.ts";

/**
 * A rule about proposals whose content is known to be of a type: `defineRule<Change>("small", …)`.
 * What is proposed is not checked against the type: ask the rule only about what is of it.
 */
export function defineRule<Content = JsonValue>(
  name: string,
  check: (content: Content) => RuleAnswer | Promise<RuleAnswer>,
): Rule {
  // As with a task's input, the type is the word of who declares it.
  return { name, check: (content) => check(content as Content) };
}
