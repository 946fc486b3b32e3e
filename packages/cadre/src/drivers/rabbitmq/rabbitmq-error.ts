import { CadreError, describeError } from "../../core/errors.ts";

/** The server's own numbers that the driver knows what to do about. */
export const replies = { notFound: 404, locked: 405, differs: 406 } as const;

/** The number with which the server closed a channel; nothing where it has not said one. */
export function replyOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "number" ? error.code : undefined;
}

export function closedError(): CadreError {
  const message = "The RabbitMQ transport is closed. Open another, or close it later.";
  return new CadreError("CLOSED", message, { what: "rabbitmq" });
}

export function timeoutError(url: string, what: string, timeoutMs: number): CadreError {
  const message =
    `The RabbitMQ server at ${url} did not answer ${what} within ${timeoutMs} ms. ` +
    "It may be busy, or block publishers because memory or disk run out.";
  return new CadreError("TIMEOUT", message, { what, timeoutMs });
}

/** What the client threw, as an error of Cadre's. */
export function forCaller(error: unknown, url: string, what: string): CadreError {
  if (error instanceof CadreError) return error;
  const said = describeError(error).message;
  const message = `${what} failed at the RabbitMQ server at ${url}: ${said}.`;
  return new CadreError("UNREACHABLE", message, { url, tried: 1 }, error);
}

/** The server takes nothing from those that publish; `reason` is what it said. */
export function blockedError(url: string, reason: string, waiting: number): CadreError {
  const message =
    `The RabbitMQ server at ${url} takes no publishes for now: it says "${reason}". ` +
    "Give it memory or disk, or publish again later.";
  return new CadreError("OVERLOADED", message, { queue: url, size: waiting });
}
