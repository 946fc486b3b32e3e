/**
 * Parts of pages that are made from the built library: `<!-- made by … -->` to `<!-- end -->`.
 *
 * `node scripts/docs-events.ts`, `node scripts/docs-capabilities.ts` and
 * `node scripts/docs-guarantees.ts` write them; a test compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const part = /(<!-- made by [^>]*-->\n)[\s\S]*?(<!-- end -->)/;

/** A page of which one part is made. */
export interface MadePage {
  /** From the root of the repository. */
  readonly path: string;
  readonly made: string;
}

/** The text of a page as it should be. */
export function expectedText({ path, made }: MadePage): string {
  const text = readFileSync(join(root, path), "utf8");
  if (!part.test(text)) throw new Error(`${path} has no part between "made by" and "end".`);
  return text.replace(part, (_, begin: string, end: string) => `${begin}\n${made}\n${end}`);
}

export function currentText({ path }: MadePage): string {
  return readFileSync(join(root, path), "utf8");
}

/** Writes the page when its script is what was started. */
export function writeIfMain(page: MadePage, script: string): void {
  if (process.argv[1] !== fileURLToPath(script)) return;
  writeFileSync(join(root, page.path), expectedText(page));
}

/** A table of Markdown; what would end a cell is escaped. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}
