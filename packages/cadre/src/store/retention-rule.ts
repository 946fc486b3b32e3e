import { CadreError } from "../core/errors.ts";
import { checkOptions, someText, wholeNumber } from "../core/options.ts";
import { assertPattern } from "../core/pattern.ts";

/** Which events may go, and when: as soon as any of the limits says so. */
export interface RetentionRule {
  /** Topic pattern of the events. @default every type */
  readonly type?: string;
  /** Only events of streams whose name starts with this. */
  readonly streamPrefix?: string;
  /** Those recorded longer ago than this, in milliseconds. */
  readonly maxAgeMs?: number;
  /** The oldest of those beyond this number. */
  readonly maxEvents?: number;
  /** The oldest, until the payloads of the rest, as JSON, take no more than this. */
  readonly maxBytes?: number;
}

/** @throws {CadreError} INVALID_OPTION | INVALID_PATTERN */
export function checkRule(rule: RetentionRule): RetentionRule {
  checkOptions<RetentionRule>("a retention rule", rule, {
    type: someText,
    streamPrefix: someText,
    maxAgeMs: wholeNumber(0),
    maxEvents: wholeNumber(0),
    maxBytes: wholeNumber(0),
  });
  if (rule.type !== undefined) assertPattern(rule.type);
  const { maxAgeMs, maxEvents, maxBytes } = rule;
  if (maxAgeMs === undefined && maxEvents === undefined && maxBytes === undefined) {
    throw new CadreError(
      "INVALID_OPTION",
      "A retention rule needs a limit: give maxAgeMs, maxEvents or maxBytes.",
      { option: "rules", value: rule },
    );
  }
  return rule;
}

/** The rule in words, for its record in the log. */
export function ruleText(rule: RetentionRule): string {
  const { type, streamPrefix, maxAgeMs, maxEvents, maxBytes } = rule;
  return [
    type ?? "#",
    ...(streamPrefix === undefined ? [] : [`in ${streamPrefix}`]),
    ...(maxAgeMs === undefined ? [] : [`older than ${maxAgeMs} ms`]),
    ...(maxEvents === undefined ? [] : [`beyond ${maxEvents} events`]),
    ...(maxBytes === undefined ? [] : [`beyond ${maxBytes} bytes`]),
  ].join(" ");
}
