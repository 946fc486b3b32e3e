/**
 * One call of a model, within its step.
 *
 *   budget reserved ──▶ rate limit ──▶ call ──▶ answer: charged what it came to, behind its receipt
 *     │ no                               ├──refused, too many, trouble told──▶ charged nothing
 *     ▼                                  └──cut off, stopped──▶ charged the worst: it may be paid
 *   degrade │ ask │ stop
 *
 * What may pass is tried again here, and not by the SDK: it is told of an error that no try mends.
 */
import { CadreError, describeError, RetryableError, TerminalError } from "../../core/errors.ts";
import { teamEvent } from "../team-context.ts";
import { isReservation, type Exhausted, type Reservation } from "./budget-ledger.ts";
import { scopesOf } from "./budget-scopes.ts";
import type { HandlerModelsPort } from "./handler-models.ts";
import type { CallableModel, ModelCall } from "./language-model.ts";
import type { ModelOptions } from "./model-options.ts";
import { finishWord, type CallRecord, type Performed } from "./model-record.ts";
import { estimateInput, nothing, usageOf, type ModelUsage, type Spending } from "./model-usage.ts";
import { failureOf, type ProviderFailure } from "./provider-errors.ts";
import { limitOf } from "./provider-gate.ts";

export interface WantedCall {
  readonly model: CallableModel;
  readonly options: ModelOptions;
  readonly call: ModelCall;
  readonly step: string;
  readonly stepKey: string;
}

export type Perform = (
  model: CallableModel,
  call: ModelCall,
  stepKey: string,
) => Promise<Performed>;

/** A stream broke after parts of it were handed on: another try would give them twice. */
export class BrokenStream extends Error {
  override readonly name: string = "BrokenStream";
}

interface Admitted {
  readonly model: CallableModel;
  readonly call: ModelCall;
  readonly reservation: Reservation | undefined;
  /** What was reserved, and the use of the model that it is for. */
  readonly worst: Spending;
  readonly expected?: ModelUsage;
  readonly degraded: boolean;
}

const defaults = {
  maxOutputTokens: 4_096,
  retry: { maxAttempts: 4, delayMs: 500, maxDelayMs: 60_000 },
} as const;

export class MeteredCall {
  readonly #port: HandlerModelsPort;
  readonly #wanted: WantedCall;
  readonly #signal: AbortSignal;

  constructor(port: HandlerModelsPort, wanted: WantedCall) {
    this.#port = port;
    this.#wanted = wanted;
    const { abortSignal } = wanted.call;
    this.#signal = abortSignal ? AbortSignal.any([port.signal, abortSignal]) : port.signal;
  }

  async run(perform: Perform): Promise<CallRecord> {
    const { maxAttempts, delayMs, maxDelayMs } = {
      ...defaults.retry,
      ...this.#wanted.options.retry,
    };
    for (let attempt = 1; ; attempt += 1) {
      const admitted = await this.#admit();
      const { clock, random } = this.#port.context;
      const startedAt = clock.monotonic();
      try {
        const performed = await this.#perform(admitted, perform);
        return await this.#succeeded(admitted, performed, {
          tries: attempt,
          latencyMs: Math.round(clock.monotonic() - startedAt),
        });
      } catch (error) {
        const failure = failureOf(error, this.#signal, clock.now());
        await this.#charge(admitted, failure.mayBePaid ? undefined : nothing);
        const backoff = Math.min(maxDelayMs, delayMs * 2 ** (attempt - 1));
        const delay = failure.retryAfterMs ?? Math.ceil(backoff * (0.5 + random.next() / 2));
        await this.#failed(error, failure, { isLast: attempt >= maxAttempts, delay, admitted });
      }
    }
  }

  async #perform({ model, call }: Admitted, perform: Perform): Promise<Performed> {
    const { abortSignal: _signal, ...rest } = call;
    const signal = this.#signal;
    const asked = { ...rest, abortSignal: signal };
    let stop = (): void => {};
    const stopped = new Promise<never>((_resolve, reject) => {
      stop = () => reject(signal.reason);
    });
    signal.addEventListener("abort", stop, { once: true });
    try {
      signal.throwIfAborted();
      // A provider that does not listen to the signal is left behind.
      return await Promise.race([perform(model, asked, this.#wanted.stepKey), stopped]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** Rejects when there is no other try; else resolves when it is time for it. */
  async #failed(
    error: unknown,
    failure: ProviderFailure,
    next: { readonly isLast: boolean; readonly delay: number; readonly admitted: Admitted },
  ): Promise<void> {
    const { kind } = failure;
    if (kind === "stopped") throw this.#signal.reason;
    if (error instanceof CadreError) throw error;
    const { admitted, delay, isLast } = next;
    const { provider, modelId } = admitted.model;
    const cause = error instanceof BrokenStream ? error.cause : error;
    const why = `${provider} ${modelId}: ${describeError(cause).message}`;
    if (kind === "refused")
      throw new TerminalError(`The model refused the call. ${why}`, { cause });
    const { context } = this.#port;
    const { clock, models } = context;
    if (kind === "limited") await models.gate.pause(this.#limitOf(admitted.model), delay);
    if (isLast || error instanceof BrokenStream) {
      const message = `The model gave no answer. ${why}`;
      throw new RetryableError(message, { retryAfterMs: delay, cause });
    }
    context.logger.warn("A model's call is tried again.", { step: this.#wanted.stepKey, error });
    if (kind !== "limited") {
      await this.#port.withoutSlot(() => clock.sleep(delay, this.#signal));
    }
  }

  async #succeeded(
    admitted: Admitted,
    performed: Performed,
    measured: Pick<CallRecord, "tries" | "latencyMs">,
  ): Promise<CallRecord> {
    const { answer, generation } = performed;
    const { provider, modelId } = admitted.model;
    const usage = usageOf(performed.usage, admitted.expected);
    const actual = usage && this.#spent(admitted, usage);
    const finishReason = finishWord(performed.finishReason);
    return {
      answer,
      provider,
      modelId,
      ...measured,
      ...(usage === undefined ? {} : { usage }),
      ...(actual?.cost === undefined ? {} : { cost: actual.cost }),
      ...(finishReason === undefined ? {} : { finishReason }),
      ...(admitted.degraded ? { degraded: true } : {}),
      ...(generation === undefined ? {} : { generation }),
      ...chargeOf(admitted, actual?.spending),
    };
  }

  /** An answer is there, and paid for: it is not lost because nobody knows its price. */
  #spent(
    { model, worst }: Admitted,
    usage: ModelUsage,
  ): { readonly spending: Spending; readonly cost?: number } {
    try {
      const spending = this.#spending(model, usage);
      return this.#wanted.options.price ? { spending, cost: spending.money } : { spending };
    } catch (error) {
      const { logger } = this.#port.context;
      logger.warn("An answer has no price; its worst is charged.", { usage, error });
      return { spending: { ...spendingOf(usage), money: worst.money } };
    }
  }

  async #charge({ reservation }: Admitted, actual: Spending | undefined): Promise<void> {
    const { context } = this.#port;
    if (!reservation) return;
    try {
      await context.models.ledger.settle(reservation, actual);
    } catch (error) {
      // An answer is not lost for it: what was reserved stays charged.
      context.logger.warn("A call could not be charged as it was.", { reservation, error });
    }
  }

  async #admit(): Promise<Admitted> {
    const { model, options, call } = this.#wanted;
    const first = await this.#reserve(model, call, false);
    if (!("unit" in first)) return this.#through(first);
    const { onExhausted = "stop", degradeTo } = options;
    await this.#tell(first, onExhausted);
    if (onExhausted === "degrade" && degradeTo) {
      // The same shape: see `language-model.ts`.
      const second = await this.#reserve(degradeTo as unknown as CallableModel, call, true);
      if (!("unit" in second)) return this.#through(second);
    }
    const { scope, unit, limit, spent, wanted } = first;
    const message =
      `The budget of ${scope} allows ${limit} ${unit}. ${spent} are spent or reserved, and the ` +
      `call may take ${wanted}. Grant it more (cadre budgets grant ${scope} --${unit} N).`;
    if (onExhausted === "ask" && this.#port.work().task) {
      const asked = `${message} Then let it go on (cadre sagas retry TASK STEP).`;
      throw new CadreError("STEP_IN_DOUBT", asked, { step: this.#wanted.step });
    }
    throw new CadreError("BUDGET_EXHAUSTED", message, first);
  }

  async #through(admitted: Admitted): Promise<Admitted> {
    const { context } = this.#port;
    try {
      const limit = this.#limitOf(admitted.model);
      await this.#port.withoutSlot(() => context.models.gate.pass(limit, this.#signal));
      this.#port.assertOwned();
      this.#signal.throwIfAborted();
      return admitted;
    } catch (error) {
      await this.#charge(admitted, nothing);
      throw error;
    }
  }

  async #reserve(
    model: CallableModel,
    call: ModelCall,
    degraded: boolean,
  ): Promise<Admitted | Exhausted> {
    const { context, work } = this.#port;
    const { options, stepKey } = this.#wanted;
    const { ledger, budgets } = context.models;
    // Asked anew each time: a budget may have been raised meanwhile.
    const scopes = await scopesOf(context.store, work(), budgets);
    if (scopes.length === 0)
      return { model, call, reservation: undefined, worst: nothing, degraded };
    const maxOutputTokens =
      call.maxOutputTokens ?? options.maxOutputTokens ?? defaults.maxOutputTokens;
    const inputTokens = Math.ceil((options.estimate ?? estimateInput)(call));
    assertAmount("estimate", inputTokens);
    assertAmount("maxOutputTokens", maxOutputTokens);
    const bounded = { ...call, maxOutputTokens };
    if (!options.price && scopes.some(({ budget }) => budget.money !== undefined)) {
      const message =
        `A budget of money bounds the model ${model.modelId}, and nobody says what it costs. ` +
        "Give startCadre({ models: { price } }), or a price in ctx.model's options.";
      throw new CadreError("INVALID_OPTION", message, { option: "price" });
    }
    const expected = { inputTokens, outputTokens: maxOutputTokens };
    const worst = this.#spending(model, expected);
    const reserved = await ledger.reserve(scopes, stepKey, worst);
    if (!isReservation(reserved)) return reserved;
    return { model, call: bounded, reservation: reserved, worst, expected, degraded };
  }

  #spending({ provider, modelId }: CallableModel, usage: ModelUsage): Spending {
    const money = this.#wanted.options.price?.(usage, { provider, modelId }) ?? 0;
    if (!Number.isFinite(money) || money < 0) {
      const message = `The price of ${modelId} is ${money}. Give a number from 0.`;
      throw new CadreError("INVALID_OPTION", message, { option: "price", value: money });
    }
    return { ...spendingOf(usage), money };
  }

  #limitOf({ provider }: CallableModel): string {
    return this.#wanted.options.limit ?? limitOf(provider);
  }

  async #tell(exhausted: Exhausted, policy: string): Promise<void> {
    const { context, agent, work } = this.#port;
    const { task, tenant } = work();
    const { provider, modelId } = this.#wanted.model;
    const payload = {
      ...exhausted,
      policy,
      agent,
      provider,
      modelId,
      step: this.#wanted.step,
      ...(task === undefined ? {} : { taskId: task.id }),
      ...(task?.feature === undefined ? {} : { feature: task.feature }),
      ...(tenant === undefined ? {} : { tenant }),
    };
    const event = teamEvent(context, agent, "budget.exhausted", payload, {
      cause: this.#port.cause(),
    });
    await context.bus.publishEvent(event).catch((error: unknown) => {
      context.logger.warn("That a budget is exhausted could not be told.", { error });
    });
  }
}

function spendingOf({ inputTokens, outputTokens }: ModelUsage): Spending {
  return { tokens: inputTokens + outputTokens, calls: 1, money: 0 };
}

/** What is no amount would take from a budget what is not there, or nothing. */
function assertAmount(option: "estimate" | "maxOutputTokens", amount: number): void {
  if (Number.isFinite(amount) && amount >= 0) return;
  const message = `The ${option} of a model's call is ${amount}. Give a number of tokens from 0.`;
  throw new CadreError("INVALID_OPTION", message, { option, value: amount });
}

/** A provider that says nothing about what it took is charged for the worst. */
function chargeOf(
  { reservation, worst }: Admitted,
  actual: Spending | undefined,
): Pick<CallRecord, "charge"> {
  if (!reservation) return {};
  const { id, scopes } = reservation;
  return { charge: { reservation: { id, scopes }, amount: actual ?? worst } };
}
