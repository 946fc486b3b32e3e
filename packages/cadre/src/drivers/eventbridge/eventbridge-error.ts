import { CadreError, describeError } from "../../core/errors.ts";

/** The names that AWS gives to what the driver knows what to do about. */
const missing = new Set([
  "ResourceNotFoundException",
  "QueueDoesNotExist",
  "AWS.SimpleQueueService.NonExistentQueue",
]);
const taken = new Set(["QueueNameExists", "QueueAlreadyExists", "ResourceAlreadyExistsException"]);
const soonFree = new Set(["QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently"]);
const passing =
  /Throttl|TooManyRequests|RequestLimit|ConcurrentModification|^Internal|ServiceUnavailable/i;

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const code: unknown = "Code" in error ? error.Code : "";
  return taken.has(String(code)) || missing.has(String(code)) ? String(code) : error.name;
}

export function isMissing(error: unknown): boolean {
  return missing.has(nameOf(error));
}

export function isTaken(error: unknown): boolean {
  return taken.has(nameOf(error));
}

export function isSoonFree(error: unknown): boolean {
  return soonFree.has(nameOf(error));
}

/** Whether what AWS refused an item with may be over in a moment. */
export function isPassingCode(code: string): boolean {
  return passing.test(code);
}

function statusOf(error: Error): number | undefined {
  const metadata: unknown = "$metadata" in error ? error.$metadata : undefined;
  if (typeof metadata !== "object" || metadata === null) return undefined;
  const status: unknown = "httpStatusCode" in metadata ? metadata.httpStatusCode : undefined;
  return typeof status === "number" ? status : undefined;
}

/** Whether asking again may help: throttled, a fault of the service, or no answer at all. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof CadreError) return false;
  if (isPassingCode(error.name)) return true;
  const status = statusOf(error);
  if (status !== undefined) return status >= 500;
  // The client has no credentials, or no region: asking again finds none either.
  return !/credential|region|token/i.test(`${error.name} ${error.message}`);
}

export function closedError(): CadreError {
  const message = "The EventBridge transport is closed. Open another, or close it later.";
  return new CadreError("CLOSED", message, { what: "eventbridge" });
}

export function timeoutError(url: string, what: string, timeoutMs: number): CadreError {
  const message = `${url} did not answer within ${timeoutMs} ms: ${what}.`;
  return new CadreError("TIMEOUT", message, { what, timeoutMs });
}

export function isTimeout(error: unknown): boolean {
  return error instanceof CadreError && error.code === "TIMEOUT";
}

/** What the client threw, as an error of Cadre's. */
export function forCaller(
  error: unknown,
  url: string,
  what: string,
  tried: number = 1,
): CadreError {
  if (error instanceof CadreError) return error;
  const { name, message: said } = describeError(error);
  const message = `${what} failed at ${url}: ${name}: ${said.replace(/\.$/, "")}.`;
  return new CadreError("UNREACHABLE", message, { url, tried }, error);
}
