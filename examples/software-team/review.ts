/** The reviewer's rules: they look at the change, and run nothing. */
import type { Change } from "./contract.ts";

const mostLines = 12; // a change that needs more is for a person

/** Why a change is refused; nothing, when it may pass. */
export function objections({ diff }: Pick<Change, "diff">): readonly string[] {
  const lines = diff.split("\n");
  const files = lines.filter((line) => line.startsWith("+++ ")).map((line) => line.slice(6));
  const added = lines.filter((line) => /^\+(?!\+\+)/.test(line)).map((line) => line.slice(1));
  const removed = lines.filter((line) => /^-(?!--)/.test(line));
  const found: string[] = [];
  const outside = files.filter((file) => !file.startsWith("src/"));
  if (outside.length > 0) found.push(`touches ${outside.join(", ")}`);
  if (added.length > mostLines) found.push(`adds ${added.length} lines`);
  if (added.length + removed.length === 0) found.push("changes nothing");
  for (const line of added) {
    if (/\bany\b|@ts-/.test(line)) found.push("turns the types off");
    if (/\w!\.|\bas (?!const\b)/.test(line)) found.push("asserts what it cannot know");
  }
  return found;
}
