/** Trust of one running team: its scores as of now, and the telling of their changes. */
import { CadreError, isCadreError } from "../../core/errors.ts";
import {
  anything,
  checkOptions,
  someObject,
  trueOrFalse,
  wholeNumber,
} from "../../core/options.ts";
import { compilePattern } from "../../core/pattern.ts";
import { makeEvent, type AgentEvent } from "../../core/event.ts";
import { foldProjection } from "../../store/projection.ts";
import { startProjection, type RunningProjection } from "../../store/running-projection.ts";
import type { LogPoint } from "../../store/log-point.ts";
import { checkValidation, type TaskValidation } from "../proposals/validation.ts";
import type { TeamContext } from "../team-context.ts";
import { meanOf, type Beta } from "./beta.ts";
import { trustProjection, trustStream } from "./trust-fold.ts";
import {
  betaAt,
  defaultTerms,
  keyOf,
  nameOf,
  scoreKey,
  type ScoreChange,
  type TrustState,
  type TrustTerms,
} from "./trust-state.ts";

/** Work of agents that are not trusted with it yet must be passed by others. */
export interface TrustGate {
  /** Topic pattern over capabilities. */
  readonly capability: string;
  /** A score under this needs validation. 0 to 1. */
  readonly below: number;
  readonly validate: Omit<TaskValidation, "below">;
}

export interface TrustOptions extends Partial<TrustTerms> {
  /** Which results must be validated, by the score of who made them. @default none */
  readonly gates?: readonly TrustGate[];
  /** Whether a vote weighs what its voter is trusted with; people weigh 1. @default false */
  readonly weighsVotes?: boolean;
}

/** What is known of an agent in a capability. */
export interface Score extends Beta {
  readonly agent: string;
  readonly capability: string;
  /** The mean of the distribution, 0 to 1. */
  readonly score: number;
  readonly verdicts: number;
}

/** Trust as the team's users see it. */
export interface TrustView {
  /** 0 to 1; a newcomer's where nothing was seen. */
  score(agent: string, capability: string): number;
  beta(agent: string, capability: string): Beta;
  /** All that is known, or what is known of one agent, by agent and capability. */
  scores(agent?: string): readonly Score[];
  /** How often rules were broken in an agent's name, by rule. They are in no score. */
  violations(agent: string): Readonly<Record<string, number>>;
  /** As it was: at an instant, or at a position of the log. */
  asOf(point: LogPoint): Promise<Pick<TrustView, "score" | "beta" | "scores" | "violations">>;
  /** Resolves when everything that is in the store by now is in the scores. */
  caughtUp(): Promise<void>;
}

const share = {
  expected: "a number from 0 to 1",
  accepts: (value: unknown): boolean => typeof value === "number" && value >= 0 && value <= 1,
};

/** @throws {CadreError} INVALID_OPTION | INVALID_PATTERN */
export function checkTrust(options: TrustOptions): void {
  checkOptions("trust", options, {
    halfLifeMs: wholeNumber(1),
    prior: someObject,
    maxPerJudge: { expected: "a number above 0", accepts: isAbove0 },
    gates: { expected: "a list of gates", accepts: Array.isArray },
    weighsVotes: trueOrFalse,
  });
  const prior = options.prior ?? defaultTerms.prior;
  checkOptions("trust.prior", prior, {
    good: { expected: "a number above 0", accepts: isAbove0 },
    bad: { expected: "a number above 0", accepts: isAbove0 },
  });
  if (prior.good === undefined || prior.bad === undefined) {
    const message = "A prior has two weights: give good and bad.";
    throw new CadreError("INVALID_OPTION", message, { option: "prior" });
  }
  for (const gate of options.gates ?? []) {
    checkOptions("a gate", gate, { capability: anything, below: share, validate: someObject });
    compilePattern(gate.capability);
    checkValidation(`of ${gate.capability}`, gate.validate);
  }
}

function isAbove0(value: unknown): boolean {
  return typeof value === "number" && Number.isFinite(value) && value > 0;
}

export class Trust implements TrustView {
  readonly #context: TeamContext;
  readonly #terms: TrustTerms;
  readonly #gates: readonly (TrustGate & { readonly matches: (capability: string) => boolean })[];
  #running: RunningProjection<TrustState> | undefined;
  #telling: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(context: TeamContext, options: TrustOptions) {
    const { gates = [], weighsVotes: _weighs, ...terms } = options;
    this.#context = context;
    this.#terms = { ...defaultTerms, ...terms };
    this.#gates = gates.map((gate) => ({ ...gate, matches: compilePattern(gate.capability) }));
  }

  async start(): Promise<void> {
    const { store, clock, logger } = this.#context;
    const running = await startProjection(store, trustProjection(this.#terms), { clock, logger });
    this.#running = running;
    running.onChange(() => this.#tell());
    await running.caughtUp();
    this.#tell();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#telling;
    await this.#running?.close();
  }

  score(agent: string, capability: string): number {
    return meanOf(this.beta(agent, capability));
  }

  beta(agent: string, capability: string): Beta {
    return this.#view(this.#running?.state).beta(agent, capability);
  }

  scores(agent?: string): readonly Score[] {
    return this.#view(this.#running?.state).scores(agent);
  }

  violations(agent: string): Readonly<Record<string, number>> {
    return this.#view(this.#running?.state).violations(agent);
  }

  async asOf(point: LogPoint): ReturnType<TrustView["asOf"]> {
    const projection = trustProjection(this.#terms);
    const { state } = await foldProjection(this.#context.store, projection, { upTo: point });
    const last = Object.values(state.scores).reduce((at, record) => Math.max(at, record.at), 0);
    return this.#view(state, point instanceof Date ? point.getTime() : last);
  }

  async caughtUp(): Promise<void> {
    await this.#running?.caughtUp();
  }

  /** What results of work in a capability must pass, and below which score. */
  gateFor(capability: string): TaskValidation | undefined {
    const gate = this.#gates.find(({ matches }) => matches(capability));
    return gate && { ...gate.validate, below: gate.below };
  }

  #view(
    state: TrustState | undefined,
    at: number = this.#context.clock.now(),
  ): Pick<TrustView, "score" | "beta" | "scores" | "violations"> {
    const terms = this.#terms;
    const beta = (agent: string, capability: string): Beta =>
      betaAt(state?.scores[scoreKey(agent, capability)], at, terms);
    return {
      beta,
      score: (agent, capability) => meanOf(beta(agent, capability)),
      scores: (wanted) =>
        Object.values(state?.scores ?? {})
          .filter(({ agent }) => wanted === undefined || agent === wanted)
          .map(({ agent, capability, verdicts }) => {
            const known = beta(agent, capability);
            return { agent, capability, ...known, score: meanOf(known), verdicts };
          }),
      violations: (agent) => {
        const counts = Object.entries(state?.violations[keyOf(agent)] ?? {});
        return Object.fromEntries(counts.map(([rule, count]) => [nameOf(rule), count]));
      },
    };
  }

  /** Tells of what is not in the log yet: once, whichever process is first. */
  #tell(): void {
    if (this.#closed) return;
    this.#telling = this.#telling.then(() => this.#tellAll());
  }

  async #tellAll(): Promise<void> {
    const untold = Object.entries(this.#running?.state.untold ?? {});
    for (const [id, change] of untold) {
      if (this.#closed) return;
      try {
        await this.#tellOne(id, change);
      } catch (error) {
        // It stays untold: the next change, or the next start, comes back to it.
        this.#context.logger.warn("A change of trust could not be told.", { error, id });
        return;
      }
    }
  }

  async #tellOne(id: string, change: ScoreChange): Promise<void> {
    const { store } = this.#context;
    const event = this.#event(id, change);
    try {
      const append = { stream: trustStream, expectedVersion: "any", events: [event] } as const;
      await store.commit({ appends: [append] });
    } catch (error) {
      // Another process has told it, in its own name.
      if (!isCadreError(error, "DUPLICATE_ID")) throw error;
    }
  }

  #event(id: string, change: ScoreChange): AgentEvent {
    const { name: source, random, guard } = this.#context;
    const { causeId, correlationId, at, ...payload } = change;
    const options = { id, correlationId, extensions: { causeid: causeId } };
    // At the instant of what it follows from, whenever it is told.
    const event = makeEvent(random, at, "score.updated", payload, options, source, undefined);
    return guard ? guard.sealFor(event) : event;
  }
}
