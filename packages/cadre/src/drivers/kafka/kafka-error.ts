import { CadreError, describeError } from "../../core/errors.ts";

/** The protocol's own numbers that the driver knows what to do about. */
export const codes = {
  offsetOutOfRange: 1,
  unknownTopic: 3,
  messageTooLarge: 10,
  recordListTooLarge: 18,
  illegalGeneration: 22,
  unknownMember: 25,
  rebalancing: 27,
  topicExists: 36,
  outOfOrderSequence: 45,
  duplicateSequence: 46,
  staleProducer: 47,
  unknownProducer: 59,
  nonEmptyGroup: 68,
  groupNotFound: 69,
  memberIdRequired: 79,
} as const;

/** What passes: the leader moves, the coordinator loads, replicas lag. */
const passing: ReadonlySet<number> = new Set([
  ...[3, 5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 56, 72, 74, 75, 76, 100],
]);

export function passes(code: number): boolean {
  return passing.has(code);
}

/** One item of an answer that the cluster refused. */
export class KafkaRefusal extends Error {
  readonly code: number;

  constructor(code: number, what: string) {
    super(`${what}: error ${code}${code in words ? ` (${words[code]!})` : ""}`);
    this.name = "KafkaRefusal";
    this.code = code;
  }
}

const words: Readonly<Record<number, string>> = {
  1: "offset out of range",
  3: "unknown topic or partition",
  5: "leader not available",
  6: "not the leader",
  7: "request timed out",
  10: "message too large",
  15: "coordinator not available",
  16: "not the coordinator",
  17: "invalid topic name",
  19: "not enough replicas",
  22: "illegal generation",
  25: "unknown member",
  27: "rebalance in progress",
  29: "not allowed to use the topic",
  30: "not allowed to use the group",
  31: "not allowed to use the cluster",
  38: "invalid replication factor",
  41: "not the controller",
  44: "policy violation",
  56: "storage error",
  58: "authentication failed",
};

export function isRefusal(error: unknown, code: number): boolean {
  return error instanceof KafkaRefusal && error.code === code;
}

/** The protocol's number inside an error of the library's; nothing where it has none. */
export function codeOf(error: unknown): number | undefined {
  if (error instanceof KafkaRefusal) return error.code;
  if (typeof error !== "object" || error === null) return undefined;
  if ("apiCode" in error && typeof error.apiCode === "number") return error.apiCode;
  if ("errors" in error && Array.isArray(error.errors)) {
    for (const inner of error.errors) {
      const code = codeOf(inner);
      if (code !== undefined) return code;
    }
  }
  return undefined;
}

/** Whether asking again may help. */
export function isPassing(error: unknown): boolean {
  if (error instanceof CadreError) return error.code === "TIMEOUT";
  const code = codeOf(error);
  return code === undefined ? !isRefusedLogin(error) : passes(code);
}

/** Asking again with the same credentials changes nothing. */
export function isRefusedLogin(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (/authenticat|SASL/i.test(at.message) || at.name === "AuthenticationError") return true;
    if (/certificate|self-signed|altname/i.test(at.message)) return true;
  }
  return false;
}

export function closedError(): CadreError {
  const message = "The Kafka transport is closed. Open another, or close it later.";
  return new CadreError("CLOSED", message, { what: "kafka" });
}

export function timeoutError(url: string, what: string, timeoutMs: number): CadreError {
  const message =
    `The Kafka cluster at ${url} did not answer ${what} within ${timeoutMs} ms. ` +
    "A broker may be down, or just starting.";
  return new CadreError("TIMEOUT", message, { what, timeoutMs });
}

/** What the client threw, as an error of Cadre's. */
export function forCaller(error: unknown, url: string, what: string): CadreError {
  if (error instanceof CadreError) return error;
  const said = deepest(error);
  const message = `${what} failed at the Kafka cluster at ${url}: ${said}.`;
  return new CadreError("UNREACHABLE", message, { url, tried: 1 }, error);
}

/** The library wraps: the first cause says most. */
export function deepest(error: unknown): string {
  let at = error;
  for (let depth = 0; depth < 8; depth += 1) {
    if (at instanceof AggregateError && at.errors.length > 0) at = at.errors.at(-1);
    else if (at instanceof Error && at.cause instanceof Error) at = at.cause;
    else break;
  }
  return describeError(at).message.replace(/\.$/, "");
}
