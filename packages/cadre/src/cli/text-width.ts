/** How wide a text is in a terminal, and texts cut or folded to a width. */

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const wide =
  /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60\uffe0-\uffe6]/u;
const narrowOnly = /^[\u0020-\u02ff\u0370-\u0fff\u2010-\u206f]*$/;
// Escape sequences in a payload must not move the reader's cursor: only the line feed stays.
// oxlint-disable-next-line no-control-regex -- these are what is looked for
const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** Columns that `text` takes. */
export function widthOf(text: string): number {
  if (narrowOnly.test(text)) return text.length;
  let width = 0;
  for (const { segment } of segmenter.segment(text)) width += wide.test(segment) ? 2 : 1;
  return width;
}

/** `text` without what a terminal would obey instead of showing. */
export function harmless(text: string): string {
  return text.replace(control, (character) =>
    character === "\t"
      ? " "
      : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}

/** The part of a text that stays when it is cut. */
export type Keep = "start" | "end" | "both";

/** `text` on one line of at most `width` columns; what is cut, is marked by an ellipsis. */
export function fit(text: string, width: number, keep: Keep = "start"): string {
  const line = harmless(text).replaceAll("\n", "\\n");
  if (widthOf(line) <= width) return line;
  if (width < 1) return "";
  const segments = [...segmenter.segment(line)].map(({ segment }) => segment);
  const endColumns = keep === "start" ? 0 : keep === "end" ? width - 1 : Math.ceil((width - 1) / 2);
  const start = taken(segments, width - 1 - endColumns);
  const end = taken(segments.toReversed(), endColumns).toReversed();
  return `${start.join("")}…${end.join("")}`;
}

/** The first segments that fit into so many columns. */
function taken(segments: readonly string[], columns: number): string[] {
  let used = 0;
  const kept: string[] = [];
  for (const segment of segments) {
    used += widthOf(segment);
    if (used > columns) break;
    kept.push(segment);
  }
  return kept;
}

/** `text` and spaces up to `width` columns. */
export function pad(text: string, width: number, side: "left" | "right" = "left"): string {
  const spaces = " ".repeat(Math.max(0, width - widthOf(text)));
  return side === "left" ? text + spaces : spaces + text;
}

/**
 * Lines of at most `width` columns, broken at spaces where there are any; later lines are
 * indented.
 */
export function wrap(text: string, width: number, indent: number = 0): string {
  return harmless(text)
    .split("\n")
    .map((line) => wrapLine(line, width, indent))
    .join("\n");
}

function wrapLine(line: string, width: number, indent: number): string {
  if (widthOf(line) <= width) return line;
  const lead = " ".repeat(Math.min(indent, Math.max(0, width - 10)));
  const lines: string[] = [];
  let current = "";
  for (const word of line.split(" ")) {
    const longer = current === "" ? word : `${current} ${word}`;
    if (widthOf(longer) <= width || current.trim() === "") current = longer;
    else {
      lines.push(current);
      current = lead + word;
    }
    for (; widthOf(current) > width; current = lead + current.slice(width)) {
      lines.push(current.slice(0, width));
    }
  }
  return [...lines, current].join("\n");
}
