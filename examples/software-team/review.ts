/** What is looked at in a change without running anything. */
import { defineRule, type Rule } from "cadre/agents";
import type { Change } from "./contract.ts";

const mostLines = 12; // a change that needs more is for a person

/** The reviewer's objections; none, when the change may pass. */
export function objections({ diff }: Pick<Change, "diff">): readonly string[] {
  const { files, added, removed } = linesOf(diff);
  const outside = files.filter((file) => !file.startsWith("src/"));
  return [
    ...(outside.length > 0 ? [`touches ${outside.join(", ")}`] : []),
    ...(added.length > mostLines ? [`adds ${added.length} lines`] : []),
    ...(added.length + removed.length === 0 ? ["changes nothing"] : []),
  ];
}

/** A rule that is asked before any agent is: types may not be argued away. */
export const honestTypes: Rule = defineRule<Change>("honest-types", ({ diff }) => {
  const { added } = linesOf(diff);
  if (added.some((line) => /\bany\b|@ts-/.test(line))) return "it turns the types off";
  if (added.some((line) => /\w!\.|\bas (?!const\b)/.test(line))) {
    return "it asserts what it cannot know";
  }
  return true;
});

interface DiffLines {
  readonly files: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

function linesOf(diff: string): DiffLines {
  const lines = diff.split("\n");
  return {
    files: lines.filter((line) => line.startsWith("+++ ")).map((line) => line.slice(6)),
    added: lines.filter((line) => /^\+(?!\+\+)/.test(line)).map((line) => line.slice(1)),
    removed: lines.filter((line) => /^-(?!--)/.test(line)),
  };
}
