/**
 * The output that an example promises: a last comment of the form "/* Output:", lines, end of
 * comment.
 */
import type { Source } from "./source.ts";

/** The promised lines; undefined when the file does not end with such a comment. */
export function promisedOutput(source: Source): string | undefined {
  const match = /\/\* Output:\n((?:(?!\*\/)[\s\S])*?)\n?\*\/\s*$/.exec(source.text);
  return match === null ? undefined : normalOutput(match[1] ?? "");
}

/** Without white space at the ends of lines and of the whole, which nobody sees. */
export function normalOutput(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")
    .trim();
}
