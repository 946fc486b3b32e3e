/** Rows in columns, fitted to a width. */
import type { Output } from "./output.ts";
import { fit, pad, widthOf, type Keep } from "./text-width.ts";

export interface Column<Row> {
  readonly title: string;
  readonly text: (row: Row) => string;
  readonly align?: "left" | "right";
  /** What stays of a cell that is too long. @default "start" */
  readonly keep?: Keep;
  /** Columns of the output below which it is left out. */
  readonly from?: number;
  /** Columns below which it is not shrunk. @default the title's */
  readonly least?: number;
  readonly style?: (row: Row) => Parameters<Output["style"]>[0];
}

const gap = "  ";

/**
 * The lines of a table: the titles, then a line a row. Too wide columns give in, the widest
 * first.
 */
export function tableLines<Row>(
  output: Output,
  allColumns: readonly Column<Row>[],
  rows: readonly Row[],
): string[] {
  const columns = allColumns.filter(({ from = 0 }) => output.width >= from);
  const cells = rows.map((row) => columns.map((column) => fit(column.text(row), Infinity)));
  const widths = columns.map((column, index) =>
    Math.max(widthOf(column.title), ...cells.map((line) => widthOf(line[index] ?? ""))),
  );
  shrink(columns, widths, output.width - gap.length * (columns.length - 1));
  const last = columns.length - 1;
  const cell = (column: Column<Row>, text: string, index: number): string => {
    const fitted = fit(text, widths[index] ?? 0, column.keep);
    const isLast = index === last && column.align !== "right";
    return isLast
      ? fitted
      : pad(fitted, widths[index] ?? 0, column.align === "right" ? "right" : "left");
  };
  const title = columns.map((column, index) => cell(column, column.title, index)).join(gap);
  const lines = rows.map((row, at) =>
    columns
      .map((column, index) => {
        const text = cell(column, cells[at]?.[index] ?? "", index);
        return column.style ? output.style(column.style(row), text) : text;
      })
      .join(gap)
      .trimEnd(),
  );
  return [output.style("dim", title.trimEnd()), ...lines];
}

function shrink<Row>(columns: readonly Column<Row>[], widths: number[], room: number): void {
  const least = columns.map((column) => column.least ?? widthOf(column.title));
  const total = (): number => widths.reduce((sum, width) => sum + width, 0);
  while (total() > room) {
    let widest = -1;
    for (const [index, width] of widths.entries()) {
      if (width > (least[index] ?? 0) && width > (widths[widest] ?? 0)) widest = index;
    }
    if (widest === -1) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}
