/** What the client and the server say when something fails, and what it means for a caller. */
import { CadreError, describeError } from "../../core/errors.ts";

/** What went wrong, as far as the driver does something about it. */
export type Trouble =
  /** The connection is gone, or never came to be: another may work. */
  | "lost"
  /** The server undid the transaction because of others: the same may work at once. */
  | "retry"
  /** The server will answer the same to whoever asks with these credentials. */
  | "refused"
  | "full"
  | "read-only"
  | "other";

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const lostStates = new Set(["57P01", "57P02", "57P03", "57P05", "53300", "25P03"]);
const retryStates = new Set(["40001", "40P01", "55P03"]);
const refusedStates = new Set(["28000", "28P01", "3D000", "42704"]);
const fullStates = new Set(["53100", "53400"]);
const readOnlyStates = new Set(["25006", "42501"]);
const lostCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT", // a socket that is not there yet
]);
// The client tells of these in words alone.
const lostWords =
  /connection (?:terminated|ended|error)|timeout|not queryable|closed|socket (?:hang up|disconn)/i;

/** A certificate that does not hold, or a server without TLS: the next try ends the same. */
function isTls(error: Error, code: string | undefined): boolean {
  return /CERT|SELF_SIGNED|ERR_TLS|ERR_SSL/.test(code ?? "") || /SSL/.test(error.message);
}

/** The SQLSTATE, or the system's code, of what the client threw. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** Whether a row is there already that may be there once. */
export function isUniqueViolation(error: unknown): boolean {
  return codeOf(error) === "23505";
}

export function troubleOf(error: unknown): Trouble {
  if (!(error instanceof Error) || error instanceof CadreError) return "other";
  const code = codeOf(error);
  if (isTls(error, code)) return "refused";
  if (code === undefined) {
    // Several addresses of one host name, each with its own failure.
    if (error instanceof AggregateError) return "lost";
    return lostWords.test(error.message) ? "lost" : "other";
  }
  if (lostCodes.has(code) || lostStates.has(code) || code.startsWith("08")) return "lost";
  if (retryStates.has(code)) return "retry";
  if (refusedStates.has(code)) return "refused";
  if (fullStates.has(code) || code === "ENOSPC") return "full";
  if (readOnlyStates.has(code)) return "read-only";
  return "other";
}

/** The error of this library for what the client threw; Cadre's own comes back as it is. */
export function storeError(error: unknown, shown: string, tried = 1): unknown {
  if (error instanceof CadreError) return error;
  const { message } = describeError(error);
  switch (troubleOf(error)) {
    case "lost":
      return unreachable(shown, tried, error);
    case "refused":
      return new CadreError(
        "UNREACHABLE",
        `The PostgreSQL server at ${shown} refuses the connection: ${message}. ` +
          "Fix the user, the password, the name of the database, or what the URL says of TLS.",
        { url: shown, tried },
        error,
      );
    case "full":
      return new CadreError(
        "STORE_FULL",
        `The PostgreSQL server at ${shown} has no room: ${message}. ` +
          "Nothing of the commit was kept; free some space and commit again.",
        { path: shown },
        error,
      );
    case "read-only":
      return new CadreError(
        "STORE_READ_ONLY",
        `The log at ${shown} cannot be written: ${message}. ` +
          "Connect to the primary server, as a user who may write there.",
        { path: shown },
        error,
      );
    default:
      return unavailable(shown, message, error);
  }
}

export function unavailable(
  shown: string,
  reason: string,
  cause?: unknown,
): CadreError<"STORE_UNAVAILABLE"> {
  return new CadreError(
    "STORE_UNAVAILABLE",
    `The log at ${shown} cannot be used: ${reason}.`,
    { path: shown, reason },
    cause,
  );
}

export function unreachable(shown: string, tried: number, cause: unknown): CadreError {
  const times = tried === 1 ? "once" : `${tried} times`;
  return new CadreError(
    "UNREACHABLE",
    `The PostgreSQL server at ${shown} cannot be reached, tried ${times}: ${reasonOf(cause)}. ` +
      "Start it, or fix the host and port.",
    { url: shown, tried },
    cause,
  );
}

function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError) {
    return cause.errors.map((error) => describeError(error).message).join("; ");
  }
  return describeError(cause).message;
}

export function closedError(shown: string): CadreError<"CLOSED"> {
  return new CadreError("CLOSED", `The log at ${shown} is closed.`, { what: shown });
}
