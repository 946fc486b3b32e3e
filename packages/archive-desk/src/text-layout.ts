/** Breaks a text at spaces so that no line is longer than `columns`, each line after `indent`. */
export function wrapText(text: string, columns: number, indent = ""): string[] {
  const width = Math.max(8, columns - indent.length);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter((each) => each !== "")) {
    for (let rest = word; rest !== ""; rest = rest.slice(width)) {
      const piece = rest.slice(0, width);
      if (line !== "" && line.length + 1 + piece.length > width) {
        lines.push(indent + line);
        line = piece;
      } else {
        line = line === "" ? piece : `${line} ${piece}`;
      }
    }
  }
  if (line !== "") lines.push(indent + line);
  return lines;
}

/** A text cut to so many columns, with an ellipsis when something is missing. */
export function fitText(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`;
}

/** A whole number with thousands set apart: 10,759. */
export function wholeNumber(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** A duration for a reader: 850 ms, 12.3 s, 2 min 05 s. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 99_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
}
