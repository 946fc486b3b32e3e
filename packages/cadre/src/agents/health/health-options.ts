/** How soon silence, standstill and failure have consequences. */
import type { BreakerOptions } from "../../bus/bus.ts";
import { breakerRules } from "../../bus/circuit-breaker.ts";
import { anything, checkOptions, oneOf, someObject, wholeNumber } from "../../core/options.ts";
import { checkRestartOptions, type RestartOptions } from "./restart-policy.ts";

export interface PresenceTiming {
  readonly heartbeatMs: number;
  readonly suspectAfterMs: number;
  readonly leaseMs: number;
}

export type PresencePreset = "fast" | "standard" | "relaxed";

/** The documented presets of presence. */
export const presencePresets: Readonly<Record<PresencePreset, PresenceTiming>> = {
  fast: { heartbeatMs: 1_000, suspectAfterMs: 3_000, leaseMs: 5_000 },
  standard: { heartbeatMs: 2_000, suspectAfterMs: 10_000, leaseMs: 15_000 },
  relaxed: { heartbeatMs: 30_000, suspectAfterMs: 90_000, leaseMs: 120_000 },
};

/** What one process makes of its agents' health. */
export interface HealthOptions {
  /**
   * Time without any sign of progress after which a handler is taken to be stuck: no step, report,
   * event, question or `breathe`, and no wait by its context. @default 300_000
   */
  readonly stuckAfterMs?: number;
  /**
   * `report` publishes `status.updated` and shows it on the card; `restart` also restarts the
   * agent, which gives its tasks back. @default "report"
   */
  readonly onStuck?: "report" | "restart";
  /**
   * Lag of the event loop from which a process says, once, that something blocks it: its beats, its
   * claims and its timers come as late; 0 is never. @default a quarter of `suspectAfterMs`
   */
  readonly maxLagMs?: number;
  /** How often an agent is restarted before it is stopped for good. */
  readonly restarts?: RestartOptions;
  /**
   * When an agent claims nothing of a capability for a while, because too many of its tries have
   * failed; false is never. @default 5 failures within 60 s, for 30 s
   */
  readonly breaker?: BreakerOptions | false;
}

/** The preset, and what is set beside it. */
export function timingOf(
  options: Partial<PresenceTiming> & { readonly presence?: PresencePreset },
): PresenceTiming {
  const preset = presencePresets[options.presence ?? "standard"];
  return {
    heartbeatMs: options.heartbeatMs ?? preset.heartbeatMs,
    suspectAfterMs: options.suspectAfterMs ?? preset.suspectAfterMs,
    leaseMs: options.leaseMs ?? preset.leaseMs,
  };
}

/** @throws {CadreError} INVALID_OPTION */
export function checkHealth(options: HealthOptions): void {
  checkOptions("health", options, {
    stuckAfterMs: wholeNumber(1),
    onStuck: oneOf("report", "restart"),
    restarts: someObject,
    maxLagMs: wholeNumber(0),
    breaker: anything,
  });
  checkRestartOptions(options.restarts ?? {});
  if (options.breaker) checkOptions("health.breaker", options.breaker, breakerRules);
}
