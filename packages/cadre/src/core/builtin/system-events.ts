/**
 * The runtime itself: its life, its errors, its circuit breakers, and what users add under
 * `custom`.
 */
import {
  anyJson,
  count,
  durationMs,
  fact,
  instant,
  map,
  number,
  oneOf,
  optional,
  text,
  word,
  type BuiltinFamily,
} from "./payload-schema.ts";

export interface SystemStarted {
  readonly runtime?: string;
  readonly version?: string;
  readonly incarnation?: string;
}

export interface SystemStopped {
  readonly runtime?: string;
  readonly reason?: string;
  readonly uptimeMs?: number;
}

export interface SystemShutdown {
  readonly reason?: string;
  readonly deadlineMs?: number;
}

export interface SystemHealth {
  readonly status?: "healthy" | "degraded" | "unhealthy";
  /** What was looked at, by name. */
  readonly checks?: Readonly<Record<string, unknown>>;
}

export interface SystemTick {
  readonly tick?: number;
  readonly at?: number;
  readonly intervalMs?: number;
}

export interface SystemMetrics {
  readonly metrics: Readonly<Record<string, unknown>>;
  readonly windowMs?: number;
}

export interface BreakerChanged {
  readonly breaker: string;
  readonly from?: "closed" | "open" | "half-open";
  readonly to?: "closed" | "open" | "half-open";
  readonly failures?: number;
  /** Calls that were not made since the last change. */
  readonly rejected?: number;
  /** Milliseconds until the probe. */
  readonly retryAfterMs?: number;
  readonly reason?: string;
}

export interface ErrorRaised {
  readonly severity: "warning" | "error" | "critical";
  readonly message: string;
  readonly code?: string;
  readonly name?: string;
  readonly stack?: string;
  readonly subscription?: string;
  readonly eventId?: string;
  readonly eventType?: string;
  readonly attempt?: number;
  readonly agent?: string;
  readonly taskId?: string;
  /** Unix milliseconds. */
  readonly at?: number;
}

export interface CustomPayload {
  readonly [member: string]: unknown;
}

export type SystemEvents = {
  "system.started": SystemStarted;
  "system.stopped": SystemStopped;
  "system.shutdown": SystemShutdown;
  "system.health_check": SystemHealth;
  "system.tick": SystemTick;
  "system.metrics_summary": SystemMetrics;
  "circuit_breaker.opened": BreakerChanged;
  "circuit_breaker.half_opened": BreakerChanged;
  "circuit_breaker.closed": BreakerChanged;
  error: ErrorRaised;
  "custom.#": CustomPayload;
};

const breakerState = oneOf("closed", "open", "half-open");
const breaker = {
  breaker: word,
  from: optional(breakerState),
  to: optional(breakerState),
  failures: optional(count),
  rejected: optional(count),
  retryAfterMs: optional(durationMs),
  reason: optional(text),
};

export const systemEvents: BuiltinFamily<SystemEvents> = {
  "system.started": fact("A runtime is up.", {
    runtime: optional(text),
    version: optional(text),
    incarnation: optional(word),
  }),
  "system.stopped": fact("A runtime has ended in order.", {
    runtime: optional(text),
    reason: optional(text),
    uptimeMs: optional(durationMs),
  }),
  "system.shutdown": fact("Every runtime that hears it ends in order.", {
    reason: optional(text),
    deadlineMs: optional(durationMs),
  }),
  "system.health_check": fact("How a runtime is.", {
    status: optional(oneOf("healthy", "degraded", "unhealthy")),
    checks: optional(map(anyJson)),
  }),
  "system.tick": fact("Time has passed.", {
    tick: optional(count),
    at: optional(instant),
    intervalMs: optional(durationMs),
  }),
  "system.metrics_summary": fact("Figures of a runtime over a while.", {
    metrics: map(anyJson),
    windowMs: optional(durationMs),
  }),
  "circuit_breaker.opened": fact("Calls are refused: too many have failed.", breaker),
  "circuit_breaker.half_opened": fact("One call is let through as a probe.", breaker),
  "circuit_breaker.closed": fact("Calls go through again.", breaker),
  error: fact("Something went wrong in a runtime.", {
    severity: oneOf("warning", "error", "critical"),
    message: text,
    code: optional(text),
    name: optional(text),
    stack: optional(text),
    subscription: optional(text),
    eventId: optional(word),
    eventType: optional(word),
    attempt: optional(number),
    agent: optional(text),
    taskId: optional(word),
    at: optional(instant),
  }),
  "custom.#": fact<CustomPayload>("An application's own event, without a schema.", {}),
};
