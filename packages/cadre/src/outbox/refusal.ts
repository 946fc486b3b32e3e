import { isCadreError, type ErrorCode } from "../core/errors.ts";

/** These will be said again however often one asks. */
const poisonous: readonly ErrorCode[] = [
  "TOO_LARGE",
  "INVALID_TOPIC",
  "INVALID_EVENT",
  "INVALID_PAYLOAD",
  "UNKNOWN_TYPE",
  "UNKNOWN_VERSION",
  "NOT_JSON",
  "UNDECODABLE",
  "UNSUPPORTED",
  "TERMINAL",
];

/** Whether a carrier that said this can never publish the event. */
export function isRefusedForEver(error: unknown): boolean {
  return isCadreError(error) && poisonous.includes(error.code);
}
