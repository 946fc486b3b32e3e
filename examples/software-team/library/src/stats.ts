/** The middle one of some prices. */
export function median(prices: readonly number[]): number {
  const sorted = [...prices].sort();
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function nearest(value: number, step: number): number {
  return Math.round(value / step) * step;
}

function roundToFive(cents: number): number {
  return nearest(cents, 5);
}
