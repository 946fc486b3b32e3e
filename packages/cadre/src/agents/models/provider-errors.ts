/** What a provider's failure means for the call. */
import { isCadreError } from "../../core/errors.ts";

export interface ProviderFailure {
  /**
   * - `limited`: too many calls; later it will do
   * - `passing`: the provider has trouble
   * - `refused`: this call will never do
   * - `stopped`: we have ended it ourselves
   */
  readonly kind: "limited" | "passing" | "refused" | "stopped";
  /** Whether the provider may have done the work, and want money for it. */
  readonly mayBePaid: boolean;
  /** What the provider asks to wait, in milliseconds. */
  readonly retryAfterMs?: number;
}

type Plain = Readonly<Record<string, unknown>>;

/** Errors of the SDK that come before anything was sent. */
const neverSent: ReadonlySet<string> = new Set([
  "AI_InvalidArgumentError",
  "AI_InvalidPromptError",
  "AI_LoadAPIKeyError",
  "AI_LoadSettingError",
  "AI_NoSuchModelError",
  "AI_NoSuchProviderReferenceError",
  "AI_UnsupportedFunctionalityError",
  "AI_UnsupportedModelVersionError",
]);

const mayPass: ReadonlySet<number> = new Set([408, 409, 425]);

/** Somebody on the way has waited no longer; the provider may have gone on. */
const timeouts: ReadonlySet<number> = new Set([408, 504, 524]);

/** Of a connection that was never made. */
const unreachable: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
]);
const maxCauses = 8; // of an error; a chain may be a circle

/** The longest that a provider is let alone because it says so. */
export const maxPauseMs = 600_000;

export function failureOf(error: unknown, signal: AbortSignal, now: number): ProviderFailure {
  if (signal.aborted) return { kind: "stopped", mayBePaid: true };
  if (isCadreError(error)) return { kind: "refused", mayBePaid: false };
  const { name, statusCode, isRetryable } = (error ?? {}) as Plain;
  if (typeof name === "string" && neverSent.has(name)) {
    return { kind: "refused", mayBePaid: false };
  }
  if (typeof statusCode !== "number" || statusCode < 400) {
    const kind = isRetryable === false ? "refused" : "passing";
    return { kind, mayBePaid: name === "BrokenStream" || !wasUnreachable(error) };
  }
  const wait = retryAfter(error as Plain, now);
  const asked = wait === undefined ? {} : { retryAfterMs: wait };
  if (statusCode === 429) return { kind: "limited", mayBePaid: false, ...asked };
  if (statusCode >= 500 || mayPass.has(statusCode)) {
    return { kind: "passing", mayBePaid: timeouts.has(statusCode), ...asked };
  }
  return { kind: "refused", mayBePaid: false };
}

function wasUnreachable(error: unknown): boolean {
  let cause = error;
  for (let depth = 0; depth < maxCauses; depth += 1) {
    if (typeof cause !== "object" || cause === null) return false;
    if (unreachable.has((cause as Plain)["code"])) return true;
    ({ cause } = cause as Plain);
  }
  return false;
}

/** Of the headers `retry-after-ms` and `retry-after`, in seconds or as a date. */
function retryAfter({ responseHeaders }: Plain, now: number): number | undefined {
  if (typeof responseHeaders !== "object" || responseHeaders === null) return undefined;
  const all =
    responseHeaders instanceof Headers ? responseHeaders : Object.entries(responseHeaders);
  // Some names, such as HTTP/2's ":status", are none to `Headers`.
  const headers = new Map([...all].map(([name, value]) => [name.toLowerCase(), String(value)]));
  const ms = Number(headers.get("retry-after-ms") ?? Number.NaN);
  if (Number.isFinite(ms) && ms >= 0) return bounded(ms);
  const text = headers.get("retry-after");
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (Number.isFinite(seconds)) return bounded(seconds * 1_000);
  const at = Date.parse(text);
  return Number.isFinite(at) ? bounded(at - now) : undefined;
}

function bounded(ms: number): number {
  return Math.min(maxPauseMs, Math.max(0, Math.ceil(ms)));
}
