/** What a rate limit may say. */
import { CadreError } from "../../core/errors.ts";
import { checkOptions, wholeNumber } from "../../core/options.ts";

/** Exactly one of them. No window of that length ever has more, wherever it begins. */
export interface RateLimit {
  readonly perSecond?: number;
  readonly perMinute?: number;
  readonly perHour?: number;
}

const windows = { perSecond: 1_000, perMinute: 60_000, perHour: 3_600_000 } as const;

/** @throws {CadreError} INVALID_OPTION, unless it has exactly one whole number above 0 */
export function windowOf(
  name: string,
  limit: RateLimit,
): { readonly most: number; readonly windowMs: number } {
  const where = `the limit "${name}"`;
  const rule = wholeNumber(1);
  checkOptions(where, limit, { perSecond: rule, perMinute: rule, perHour: rule });
  const [first, ...more] = (Object.keys(windows) as (keyof typeof windows)[]).filter(
    (window) => limit[window] !== undefined,
  );
  const most = first && limit[first];
  if (first && most !== undefined && more.length === 0) return { most, windowMs: windows[first] };
  const message = `Give exactly one of perSecond, perMinute and perHour for ${where}.`;
  throw new CadreError("INVALID_OPTION", message, { option: `limits["${name}"]`, value: limit });
}
