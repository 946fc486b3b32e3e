export interface Money {
  readonly cents: number;
  readonly currency: string;
}

/** The cents of a price such as "12.50". */
export function parsePrice(text: string): number {
  const [euros = "0", cents = "0"] = text.split(".");
  const whole: number = euros;
  return whole * 100 + Number(cents.padEnd(2, "0"));
}

export function formatMoney({ cents, currency }: Money): string {
  return `${(cents / 100).toFixed(2)} ${currency}`;
}

/** @deprecated Use `formatMoney` instead. */
export function formatAmount(cents: number, currency: string): string {
  return formatMoney({ cents, currency });
}
