/**
 * Every error that Cadre throws carries a code from the one table below. The code says what kind of
 * thing went wrong and is part of the public API; the message is for people and may change;
 * `details` is typed by the code.
 */

import type { SchemaFinding } from "./schema-compatibility.ts";

/** The details that each error code carries. The keys are the closed list of codes. */
export interface ErrorDetails {
  /** An option has an unknown name or an impossible value. */
  INVALID_OPTION: { readonly option: string; readonly value?: unknown; readonly from?: string };
  /**
   * A published type has an empty word, a wildcard, white space, a control character, or is too
   * long.
   */
  INVALID_TOPIC: { readonly topic: string };
  /** A topic pattern breaks the grammar or its limits. */
  INVALID_PATTERN: { readonly pattern: string };
  /** A content filter has an unknown operator, a wrong operand, or breaks its limits. */
  INVALID_FILTER: { readonly path: string; readonly operator?: string };
  /** An event's envelope is not well formed. */
  INVALID_EVENT: { readonly field: string; readonly value?: unknown };
  /** A payload holds what JSON cannot carry: a function, a cycle, a bigint, NaN … */
  NOT_JSON: { readonly path: string };
  /** A payload does not fit the schema of its type. */
  INVALID_PAYLOAD: {
    readonly type: string;
    readonly version: string;
    readonly issues: readonly { readonly path: string; readonly message: string }[];
  };
  /** An event type is not in the (closed) registry. */
  UNKNOWN_TYPE: { readonly type: string; readonly closest?: string };
  /** A payload's version is newer than the registry knows, or no upcaster leads on from it. */
  UNKNOWN_VERSION: { readonly type: string; readonly version: string };
  /** A version of a type breaks with an earlier one, in a way that its `compatibility` forbids. */
  INCOMPATIBLE_SCHEMA: {
    readonly type: string;
    readonly from: string;
    readonly to: string;
    readonly findings: readonly SchemaFinding[];
  };
  /** An encoded event is larger than the transport or the codec takes. */
  TOO_LARGE: { readonly bytes: number; readonly maxBytes: number };
  /** The blob that an event's large payload was put into is not in the blob store. */
  BLOB_MISSING: { readonly blob: string; readonly id: string };
  /** A blob's content is not what its name says. */
  BLOB_CORRUPT: { readonly blob: string };
  /** Bytes that should hold an event do not. */
  UNDECODABLE: { readonly reason: string };
  /** The object was closed, or is closing and takes no new work. */
  CLOSED: { readonly what: string };
  /** A rate limit has no room within the time that the asker would wait. */
  RATE_LIMITED: { readonly limit: string; readonly retryAfterMs: number };
  /** A bounded queue is full and its policy is to refuse. */
  OVERLOADED: { readonly queue: string; readonly size: number };
  /** A member of a group came with other patterns or another filter than the group has. */
  GROUP_MISMATCH: { readonly group: string; readonly expected: string; readonly actual: string };
  /** The transport or store cannot do what was asked, and the bus does not emulate it. */
  UNSUPPORTED: { readonly feature: string; readonly by: string };
  /** Something took longer than it was given. */
  TIMEOUT: { readonly what: string; readonly timeoutMs: number };
  /** A request found no responder. */
  NO_RESPONDER: { readonly type: string };
  /** A responder answered with an error. */
  REQUEST_FAILED: { readonly type: string; readonly code: string; readonly remote?: string };
  /** The work was cancelled by its caller. */
  CANCELLED: { readonly what: string };
  /** A lease, or the delivery that it guards, now belongs to somebody else. */
  LEASE_LOST: { readonly what: string };
  /** The circuit breaker is open and the call was not made. */
  CIRCUIT_OPEN: { readonly breaker: string; readonly retryAfterMs: number };
  /** A handler said that trying again is of no use. */
  TERMINAL: { readonly reason?: string };
  /** A handler asks for another try. */
  RETRYABLE: { readonly retryAfterMs?: number; readonly lapsed?: boolean };
  /** A stream or slot was not at the version that the writer expected. */
  VERSION_CONFLICT: { readonly stream: string; readonly expected: number; readonly actual: number };
  /** An event with this id is in the log already, with other content or in another stream. */
  DUPLICATE_ID: { readonly id: string };
  /** A row that is to be imported does not fit into the log. */
  IMPORT_CONFLICT: { readonly position: number; readonly reason: string };
  /** The store's file is not what it should be. */
  STORE_CORRUPT: { readonly path: string; readonly reason: string };
  /** The store's file was written by a newer version of Cadre. */
  STORE_TOO_NEW: { readonly path: string; readonly found: number; readonly supported: number };
  /** The disk is full; nothing of the refused write was kept. */
  STORE_FULL: { readonly path: string };
  /** The store's file or folder cannot be written. */
  STORE_READ_ONLY: { readonly path: string };
  /** The store's file or folder cannot be opened. */
  STORE_UNAVAILABLE: { readonly path: string; readonly reason: string };
  /** The store's file was opened by another process with another, incompatible configuration. */
  STORE_MISMATCH: {
    readonly path: string;
    readonly setting: string;
    readonly expected: string;
    readonly actual: string;
  };
  /** Agents keep their tasks in an event store, and none was given. */
  STORE_REQUIRED: { readonly what: string };
  /** A broker or database cannot be reached. */
  UNREACHABLE: { readonly url: string; readonly tried: number };
  /** An optional library that a driver needs is not installed. */
  MISSING_LIBRARY: { readonly library: string; readonly install: string };
  /** A task, dead letter, agent, schema … of that name does not exist. */
  NOT_FOUND: { readonly what: string; readonly id: string };
  /** The operation does not fit the state that the thing is in. */
  WRONG_STATE: { readonly what: string; readonly state: string };
  /** The plan of a feature, or a change of it, cannot be carried out: everything that is wrong. */
  INVALID_PLAN: { readonly feature: string; readonly problems: readonly string[] };
  /** A budget does not allow a model's call. */
  BUDGET_EXHAUSTED: {
    readonly scope: string;
    readonly unit: string;
    readonly limit: number;
    readonly spent: number;
    readonly wanted: number;
  };
  /** A feature that a task waits for cannot go on. */
  FEATURE_BLOCKED: { readonly feature: string; readonly kind: string; readonly reason: string };
  /** A journaled step came again with another input, or a different step came in its place. */
  STEP_DRIFT: { readonly step: string; readonly expected: string; readonly actual: string };
  /** A step's effect may or may not have happened, and its policy is to ask a person. */
  STEP_IN_DOUBT: { readonly step: string };
  /** Somebody's vote, edit or word on a proposal is not allowed, and was not counted. */
  VOTE_REFUSED: {
    readonly proposal: string;
    readonly voter: string;
    readonly reason:
      | "lineage"
      | "not_a_voter"
      | "stale"
      | "no_veto_right"
      | "not_the_author"
      | "not_amendable"
      | "last_voter"
      | "not_debated"
      | "debated"
      | "no_evidence"
      | "position"
      | "twice"
      | "not_now";
  };
  /** A result was not released: rules or other agents found it wrong, or nobody answered. */
  VALIDATION_FAILED: {
    readonly proposal: string;
    readonly reasons: readonly { readonly validator: string; readonly reason: string }[];
    /** Whether nobody has decided in time. */
    readonly expired: boolean;
  };
  /** Permissions are on, and none allows it; or it is of another tenant. */
  FORBIDDEN: {
    readonly who: string;
    readonly right: "publish" | "subscribe" | "claim" | "vote";
    readonly on: string;
    readonly tenant?: string;
  };
  /** An event's signature is missing, false, or not of who may speak for its source. */
  SIGNATURE_REJECTED: {
    readonly id: string;
    readonly type: string;
    readonly source: string;
    readonly rule: string;
    readonly signer?: string;
  };
  /** A projection's fold threw at one event. */
  PROJECTION_FAILED: { readonly projection: string; readonly position: string };
  /** The configuration file or the environment holds a value that cannot be used. */
  INVALID_CONFIG: {
    readonly key: string;
    readonly value: unknown;
    readonly from: string;
    readonly allowed: string;
  };
  /** A bug in Cadre. Please report it. */
  INTERNAL: { readonly what: string };
}

export type ErrorCode = keyof ErrorDetails;

/**
 * How much an error ends: `warning` is recorded, `error` ends that handler's run, `critical` shuts
 * the runtime down in order.
 */
export type Severity = "warning" | "error" | "critical";

/**
 * The error of this library: what happened, to what, and what to do about it.
 *
 * Compare with {@link isCadreError}, not with `instanceof`: two copies of the package may be loaded
 * in one process.
 */
export class CadreError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name: string = "CadreError";
  readonly code: Code;
  readonly details: ErrorDetails[Code];

  constructor(code: Code, message: string, details: ErrorDetails[Code], cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
}

/** Thrown by a handler for which no retry can help: the delivery becomes a dead letter at once. */
export class TerminalError extends CadreError<"TERMINAL"> {
  override readonly name: string = "TerminalError";

  constructor(message: string, options: { reason?: string; cause?: unknown } = {}) {
    const details = options.reason === undefined ? {} : { reason: options.reason };
    super("TERMINAL", message, details, options.cause);
  }
}

/**
 * Thrown by a handler to ask for another attempt, at the earliest after `retryAfterMs`; attempts
 * still count.
 */
export class RetryableError extends CadreError<"RETRYABLE"> {
  override readonly name: string = "RetryableError";

  /**
   * @param options.lapsed thrown by the handler of a task: whoever does the work in truth has
   *   fallen silent. The lease ends as if it had run out, and no attempt is counted
   */
  constructor(
    message: string,
    options: { retryAfterMs?: number; lapsed?: boolean; cause?: unknown } = {},
  ) {
    const { retryAfterMs, lapsed } = options;
    const details = {
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(lapsed === undefined ? {} : { lapsed }),
    };
    super("RETRYABLE", message, details, options.cause);
  }
}

/**
 * Whether `error` is Cadre's, and, if a code is given, of that code. Works across copies of the
 * package.
 */
export function isCadreError<Code extends ErrorCode = ErrorCode>(
  error: unknown,
  code?: Code,
): error is CadreError<Code> {
  if (!(error instanceof Error) || !("code" in error) || !("details" in error)) return false;
  if (!["CadreError", "TerminalError", "RetryableError"].includes(error.name)) return false;
  return code === undefined || error.code === code;
}

/** What is kept of an error where it becomes data: an error event, a dead letter, a failed task. */
export interface ErrorRecord {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
}

const maxStackLength = 4_000; // enough frames to find the place, and it bounds a dead letter's size

/** Describes anything that was thrown, also what is not an `Error`. Never throws. */
export function describeError(thrown: unknown): ErrorRecord {
  if (!(thrown instanceof Error)) {
    let message: string;
    try {
      message = typeof thrown === "string" ? thrown : (JSON.stringify(thrown) ?? String(thrown));
    } catch {
      message = Object.prototype.toString.call(thrown);
    }
    return { name: "NonError", message };
  }
  const code = "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
  return {
    name: thrown.name,
    message: thrown.message,
    ...(code === undefined ? {} : { code }),
    ...(thrown.stack === undefined ? {} : { stack: thrown.stack.slice(0, maxStackLength) }),
  };
}
