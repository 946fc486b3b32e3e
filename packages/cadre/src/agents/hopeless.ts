import type { ErrorCode } from "../core/errors.ts";

/** What no other attempt can mend. */
export const hopeless: ReadonlySet<ErrorCode> = new Set([
  "TERMINAL",
  "INVALID_PAYLOAD",
  "INVALID_OPTION",
  "STEP_DRIFT",
  "VALIDATION_FAILED",
  "UNSUPPORTED",
  "INVALID_PLAN",
  "FEATURE_BLOCKED",
  "BUDGET_EXHAUSTED",
]);
