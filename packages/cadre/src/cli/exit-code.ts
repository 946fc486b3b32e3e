/** The exit codes, and which of them an error is. `docs/reference/cli.md` tells them to users. */
import { describeError, isCadreError, type ErrorCode } from "../core/errors.ts";

export const exitCodes: Readonly<
  Record<"ok" | "failed" | "usage" | "notFound" | "unavailable" | "interrupted", number>
> = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  unavailable: 4,
  interrupted: 130,
};

const usage: readonly ErrorCode[] = [
  "INVALID_OPTION",
  "INVALID_CONFIG",
  "INVALID_TOPIC",
  "INVALID_PATTERN",
  "INVALID_FILTER",
  "INVALID_PAYLOAD",
  "NOT_JSON",
  "UNKNOWN_TYPE",
  "UNSUPPORTED",
  "MISSING_LIBRARY",
  "STORE_REQUIRED",
];
const unavailable: readonly ErrorCode[] = [
  "STORE_CORRUPT",
  "STORE_TOO_NEW",
  "STORE_FULL",
  "STORE_READ_ONLY",
  "STORE_UNAVAILABLE",
  "STORE_MISMATCH",
  "UNREACHABLE",
];

/** The exit code for a command that ended by `error`. */
export function exitCodeOf(error: unknown): number {
  if (!isCadreError(error)) return exitCodes.failed;
  if (error.code === "NOT_FOUND") return exitCodes.notFound;
  if (usage.includes(error.code)) return exitCodes.usage;
  return unavailable.includes(error.code) ? exitCodes.unavailable : exitCodes.failed;
}

/** What a person is told of `error`; its stack is for bugs alone. */
export function errorText(error: unknown): string {
  const { name, message, code, stack } = describeError(error);
  if (isCadreError(error) && error.code !== "INTERNAL") {
    return `cadre: ${message} (${error.code})`;
  }
  return `cadre: ${stack ?? `${name}: ${message}${code === undefined ? "" : ` (${code})`}`}`;
}
