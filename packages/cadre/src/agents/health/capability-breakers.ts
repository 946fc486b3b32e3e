/**
 * One circuit breaker for each capability of one run of an agent: after too many failed tries it
 * claims nothing of that capability for a while, then one task as a probe. Tasks go to others
 * meanwhile, or wait.
 */
import type { BreakerOptions } from "../../bus/bus.ts";
import { CircuitBreaker, type BreakerChange } from "../../bus/circuit-breaker.ts";
import { isCadreError, type ErrorCode } from "../../core/errors.ts";
import { isPassing } from "../passing-trouble.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";

export interface BreakersPort {
  readonly context: TeamContext;
  readonly agent: string;
  readonly options: BreakerOptions | false;
  /** A breaker has opened or closed: the card changes, and claims may go on. */
  readonly onChange: () => void;
}

const none: readonly string[] = [];
const types = {
  open: "circuit_breaker.opened",
  "half-open": "circuit_breaker.half_opened",
  closed: "circuit_breaker.closed",
} as const;

/** How a handler took it; nothing, when it was stopped or a person has to decide. */
export type RunOutcome = { readonly error?: unknown } | undefined;

export function outcomeOf(error: unknown, { aborted, reason }: AbortSignal): RunOutcome {
  if (!aborted) return { error };
  return isCadreError(reason, "TIMEOUT") ? { error: reason.message } : undefined;
}

/** What is the task's fault, or nobody's: it says nothing about the agent. */
const others: ReadonlySet<ErrorCode> = new Set([
  "TERMINAL",
  "INVALID_PAYLOAD",
  "STEP_DRIFT",
  "CANCELLED",
  "CLOSED",
  "LEASE_LOST",
  "RATE_LIMITED",
  "BUDGET_EXHAUSTED",
  "STEP_IN_DOUBT",
]);

export class CapabilityBreakers {
  readonly #port: BreakersPort;
  #breakers: Map<string, CircuitBreaker> | undefined;

  constructor(port: BreakersPort) {
    this.#port = port;
  }

  /** Capabilities that nothing is claimed for now. */
  get broken(): readonly string[] {
    if (!this.#breakers) return none;
    return [...this.#breakers].filter(([, { state }]) => state === "open").map(([name]) => name);
  }

  allows(capability: string): boolean {
    return this.#breakers?.get(capability)?.allows ?? true;
  }

  /** A claim is made. */
  enter(capability: string): void {
    this.#breakers?.get(capability)?.enter();
  }

  /** How the run ended: `undefined` is well; nothing is known where it was stopped. */
  ended(capability: string, outcome: RunOutcome): void {
    const breaker = this.#breakers?.get(capability);
    if (!outcome) return breaker?.giveUp();
    const { error } = outcome;
    if (error === undefined) return breaker?.succeed();
    const isOthers = isCadreError(error) && others.has(error.code);
    if (isOthers || isPassing(error)) return breaker?.giveUp();
    (breaker ?? this.#make(capability))?.fail();
  }

  close(): void {
    for (const breaker of this.#breakers?.values() ?? []) breaker.close();
    this.#breakers = undefined;
  }

  /** Most capabilities never fail: the first failure makes the breaker. */
  #make(capability: string): CircuitBreaker | undefined {
    const { context, agent, options } = this.#port;
    if (options === false) return undefined;
    const breaker = new CircuitBreaker(`${agent}/${capability}`, options, context.clock, (change) =>
      this.#changed(change),
    );
    (this.#breakers ??= new Map()).set(capability, breaker);
    return breaker;
  }

  #changed(change: BreakerChange): void {
    const { context, agent, onChange } = this.#port;
    const event = teamEvent(context, agent, types[change.to], { ...change });
    context.bus.publishEvent(event).catch((error: unknown) => {
      context.logger.warn("A circuit breaker's change could not be published.", { error });
    });
    onChange();
  }
}
