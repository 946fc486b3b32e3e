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

export function failureOf(error: unknown, signal: AbortSignal, now: number): ProviderFailure {
  if (signal.aborted) return { kind: "stopped", mayBePaid: true };
  if (isCadreError(error)) return { kind: "refused", mayBePaid: false };
  const { name, statusCode, isRetryable } = (error ?? {}) as Plain;
  if (typeof name === "string" && neverSent.has(name)) {
    return { kind: "refused", mayBePaid: false };
  }
  if (typeof statusCode !== "number" || statusCode < 400) {
    return { kind: isRetryable === false ? "refused" : "passing", mayBePaid: true };
  }
  const wait = retryAfter(error as Plain, now);
  const asked = wait === undefined ? {} : { retryAfterMs: wait };
  if (statusCode === 429) return { kind: "limited", mayBePaid: false, ...asked };
  if (statusCode >= 500 || mayPass.has(statusCode)) {
    return { kind: "passing", mayBePaid: false, ...asked };
  }
  return { kind: "refused", mayBePaid: false };
}

/** Of the headers `retry-after-ms` and `retry-after`, in seconds or as a date. */
function retryAfter({ responseHeaders }: Plain, now: number): number | undefined {
  if (typeof responseHeaders !== "object" || responseHeaders === null) return undefined;
  const headers = new Headers(Object.entries(responseHeaders));
  const ms = Number(headers.get("retry-after-ms") ?? Number.NaN);
  if (Number.isFinite(ms) && ms >= 0) return Math.ceil(ms);
  const text = headers.get("retry-after");
  if (text === null) return undefined;
  const seconds = Number(text);
  if (Number.isFinite(seconds)) return Math.max(0, Math.ceil(seconds * 1_000));
  const at = Date.parse(text);
  return Number.isFinite(at) ? Math.max(0, at - now) : undefined;
}
