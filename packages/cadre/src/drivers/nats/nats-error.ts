import { CadreError } from "../../core/errors.ts";

/** What the JetStream API answered instead of doing it. */
export class Refusal extends Error {
  override readonly name: string = "Refusal";
  /** JetStream's own number, or 0. */
  readonly reason: number;

  constructor(description: string, reason: number) {
    super(description);
    this.reason = reason;
  }
}

/** JetStream's numbers that the driver knows what to do about. */
export const refusals = {
  consumerNotFound: 10_014,
  insufficientStorage: 10_047,
  messageNotFound: 10_037,
  nameInUse: 10_058,
  noLeaderYet: 10_008,
  streamNotFound: 10_059,
  wrongLastMessage: 10_070,
  wrongLastSequence: 10_071,
  full: 10_077,
} as const;

export function isRefusal(error: unknown, reason?: number): error is Refusal {
  return error instanceof Refusal && (reason === undefined || error.reason === reason);
}

/**
 * Nobody listens on the subject: JetStream is off, still starting, or the thing that was meant is
 * gone.
 */
export class NobodyThere extends Error {
  override readonly name: string = "NobodyThere";
}

interface Asked {
  /** Without credentials. */
  readonly url: string;
  readonly what: string;
  readonly timeoutMs: number;
  readonly connected: boolean;
}

/** What the client threw, as an error of Cadre's or one of the two above. */
export function fromClient(error: unknown, asked: Asked): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  if (error instanceof CadreError) return error;
  const names = [error.name, error.cause instanceof Error ? error.cause.name : ""];
  if (names.includes("NoResponders") || names.includes("NoRespondersError")) {
    return new NobodyThere(`Nobody answers ${asked.what}.`, { cause: error });
  }
  const { url, what, timeoutMs } = asked;
  if (names.includes("TimeoutError") && asked.connected) {
    const message = `The NATS server at ${url} did not answer ${what} within ${timeoutMs} ms.`;
    return new CadreError("TIMEOUT", message, { what, timeoutMs }, error);
  }
  const message = asked.connected
    ? `${what} failed at the NATS server at ${url}: ${error.message}.`
    : `There is no connection to the NATS server at ${url}, and ${what} was not answered. ` +
      "The client keeps trying to connect.";
  return new CadreError("UNREACHABLE", message, { url, tried: 1 }, error);
}

/** An error for the caller: nothing of this file's own gets out. */
export function forCaller(error: unknown, url: string): unknown {
  if (error instanceof Refusal) {
    if (error.reason === refusals.insufficientStorage || error.reason === refusals.full) {
      const message = `The stream at ${url} is full: ${error.message}.`;
      return new CadreError("STORE_FULL", message, { path: url }, error);
    }
    const message = `The NATS server at ${url} refused: ${error.message}.`;
    return new CadreError("UNREACHABLE", message, { url, tried: 1 }, error);
  }
  if (error instanceof NobodyThere) {
    const message = `${error.message} JetStream is off at ${url}, or is just starting.`;
    return new CadreError("UNREACHABLE", message, { url, tried: 1 }, error);
  }
  return error;
}
