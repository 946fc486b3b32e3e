/**
 * The TypeScript in the pages.
 *
 * A block "```ts" is a program of its own; "```ts continued" goes on where the block before it on
 * the page ended; "```ts nocheck" is not compiled.
 */
import type { Source } from "./source.ts";

/**
 * A program made of the blocks of a page. Its lines are the page's: an error's line is the line to
 * look at.
 */
export interface CodeBlock {
  readonly path: string;
  readonly line: number;
  readonly text: string;
}

interface OpenBlock {
  readonly firstLine: number;
  readonly lines: string[];
}

/** The programs of a page. */
export function codeBlocks(page: Source): CodeBlock[] {
  const programs: OpenBlock[] = [];
  let open: OpenBlock | undefined;
  let fence: string | undefined;
  for (const [index, line] of page.text.split("\n").entries()) {
    const mark = /^(`{3,})(.*)$/.exec(line);
    if (fence !== undefined) {
      if (mark?.[1] === fence && mark[2] === "") [fence, open] = [undefined, undefined];
      else if (open !== undefined) open.lines[index] = line;
      continue;
    }
    if (mark === null) continue;
    fence = mark[1];
    const [language, ...words] = (mark[2] ?? "").trim().split(/\s+/);
    if ((language !== "ts" && language !== "typescript") || words.includes("nocheck")) continue;
    open = words.includes("continued") ? programs.at(-1) : undefined;
    if (open === undefined) {
      open = { firstLine: index + 1, lines: [] };
      programs.push(open);
    }
  }
  return programs.map(({ firstLine, lines }) => ({
    path: page.path,
    line: firstLine,
    // Array.from also visits the holes: lines of the page that belong to no block.
    text: `${Array.from(lines, (line) => line ?? "").join("\n")}\n`,
  }));
}
