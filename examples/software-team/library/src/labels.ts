import { formatAmount } from "./money.ts";

/** What stands on the shelf: eight letters of the title behind its class, and the price. */
export function shelfLabel(title: string, cents: number): string {
  return `${title.substr(3, 8)} ${formatAmount(cents, "EUR")}`;
}

export function mirrorLabel(label: string): string {
  return [...label].reverse().join("");
}
