import { formatAmount } from "./money.ts";

export interface BasketLine {
  readonly title: string;
  readonly cents: number;
}

/** A line for each book, and one for all. */
export function basketLines(books: readonly BasketLine[]): string[] {
  const sum = books.reduce((cents, book) => cents + book.cents, 0);
  const lines = books.map((book) => `${book.title}: ${formatAmount(book.cents, "EUR")}`);
  return [...lines, `all: ${formatAmount(sum, "EUR")}`];
}
