/** The models and tools of one entry into a handler. */
import { CadreError, isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { StepJournal } from "../step-journal.ts";
import { inDoubt } from "../step-errors.ts";
import type { TeamContext } from "../team-context.ts";
import { unheard } from "../within-time.ts";
import type { ChargedWork } from "./budget-scopes.ts";
import {
  checkModel,
  type CallableModel,
  type LanguageModel,
  type ModelAnswer,
  type ModelCall,
  type StreamedAnswer,
} from "./language-model.ts";
import { MeteredCall } from "./metered-call.ts";
import type { ToolOptions } from "./model-context.ts";
import { fromRecord, toRecord } from "./model-json.ts";
import { checkModelOptions, type ModelOptions } from "./model-options.ts";
import { answerRecord, calledFact, readRecord, type CallRecord } from "./model-record.ts";
import { openStream } from "./model-stream.ts";
import { removeStream } from "./stream-pieces.ts";
import { toolStep, type ToolRun } from "./tools.ts";

export interface HandlerModelsPort {
  readonly context: TeamContext;
  readonly agent: string;
  readonly journal: StepJournal;
  readonly signal: AbortSignal;
  readonly work: () => ChargedWork;
  cause(): AgentEvent;
  assertOwned(): void;
  withoutSlot<Result>(wait: () => Promise<Result>): Promise<Result>;
}

type Execute = (input: unknown, call?: object) => Promise<unknown>;

export class HandlerModels {
  readonly #port: HandlerModelsPort;
  /** Calls so far, by the journal's name of their model or tool. */
  readonly #places = new Map<string, number>();
  /** Names of steps so far: a tool's place may be what a model's id says. */
  readonly #taken = new Set<string>();
  /** Names of models that were given one. */
  readonly #named = new Set<string>();
  #unnamed = 0;
  /** Of the last call of a model that failed. */
  #failure: unknown;
  /** Of a stream, until a later call succeeds: the SDK gives what there was before as the text. */
  #streamFailure: unknown;
  /** Of a tool whose call is no answer: nothing may go on behind it. */
  #toolFailure: unknown;

  constructor(port: HandlerModelsPort) {
    this.#port = port;
  }

  model<Model extends LanguageModel>(model: Model, own: ModelOptions = {}): Model {
    checkModel("ctx.model", model);
    checkModelOptions("ctx.model", own);
    const options = { ...this.#port.context.models.options, ...own };
    const name = own.name ?? this.#nextName();
    if (name.includes("/") || name.includes("#")) {
      const message = `A model's name is "${name}". Give one without "/" and "#".`;
      throw new CadreError("INVALID_OPTION", message, { option: "name", value: name });
    }
    if (own.name !== undefined) this.#named.add(name);
    // Both majors' types of calls and answers are this shape; see `language-model.ts`.
    const callable = model as unknown as CallableModel;
    const wrapped: CallableModel = {
      specificationVersion: model.specificationVersion,
      provider: model.provider,
      modelId: model.modelId,
      get supportedUrls() {
        return callable.supportedUrls;
      },
      doGenerate: (call) => unheard(this.#generate(callable, { name, options }, call)),
      doStream: (call) => unheard(this.#stream(callable, { name, options }, call)),
    };
    return wrapped as unknown as Model;
  }

  tool(name: string, run: ToolRun, options: ToolOptions = {}): Execute {
    const execute: Execute = async (input, call = {}) => {
      const id = "toolCallId" in call ? String(call.toolCallId) : undefined;
      try {
        this.#port.assertOwned();
        const step = id === undefined ? this.#place(name) : this.#unique(`${name}#${id}`);
        return await toolStep(this.#port, { name, step, input, run, call, options });
      } catch (error) {
        // The SDK makes an answer of whatever is thrown, and would go on.
        if (isCadreError(error) && error.code !== "TERMINAL") this.#toolFailure = error;
        throw error;
      }
    };
    return (input, call) => unheard(execute(input, call));
  }

  tools<Tools extends Readonly<Record<string, object>>>(
    tools: Tools,
    options: { readonly [Name in keyof Tools]?: ToolOptions } = {},
  ): Tools {
    const wrapped = Object.entries(tools).map(([name, tool]) => {
      if (!("execute" in tool) || typeof tool.execute !== "function") return [name, tool] as const;
      const execute = this.tool(name, tool.execute.bind(tool) as ToolRun, options[name] ?? {});
      return [name, { ...tool, execute }] as const;
    });
    return Object.fromEntries(wrapped) as Tools;
  }

  /** Why the handler failed, where the SDK says only that a stream had no output. */
  explain(error: unknown): unknown {
    const isVague = error instanceof Error && error.name === "AI_NoOutputGeneratedError";
    return isVague ? (this.#failure ?? error) : error;
  }

  /** Throws what the SDK kept from a handler that has ended as if all were well. */
  assertWhole(): void {
    const failure = this.#toolFailure ?? this.#streamFailure;
    if (failure !== undefined) throw failure;
  }

  async #generate(model: CallableModel, named: Named, call: ModelCall): Promise<ModelAnswer> {
    const record = await this.#step(model, named, { kind: "generate", call }, (metered) =>
      metered.run(async (chosen, asked) => answerRecord(await chosen.doGenerate(asked))),
    );
    return fromRecord(record.answer) as ModelAnswer;
  }

  async #stream(model: CallableModel, named: Named, call: ModelCall): Promise<StreamedAnswer> {
    const { context, agent, work } = this.#port;
    const cause = (): AgentEvent => this.#port.cause();
    const stream = named.options.stream ?? {};
    const port = { context, agent, cause, task: work().task?.id, stream };
    return openStream(port, (perform) =>
      this.#step(model, named, { kind: "stream", call }, (metered) => metered.run(perform)),
    );
  }

  /** One call as a step of the journal. */
  async #step(
    model: CallableModel,
    { name, options }: Named,
    { kind, call }: { readonly kind: "generate" | "stream"; readonly call: ModelCall },
    run: (metered: MeteredCall) => Promise<CallRecord>,
  ): Promise<CallRecord> {
    const { journal, agent, work } = this.#port;
    try {
      this.#assertGoesOn();
      // Counted at once: calls that begin side by side have their places in that order.
      const step = this.#place(name);
      const { abortSignal: _signal, headers: _headers, ...asked } = call;
      const { provider, modelId } = model;
      const input = toRecord({ kind, provider, modelId, call: asked });
      let isNew = false;
      const result = await journal.step({
        name: step,
        input,
        run: (stepKey) => {
          isNew = true;
          return run(new MeteredCall(this.#port, { model, options, call, step, stepKey }));
        },
        options: {},
        facts: (called) => [calledFact(readRecord(called), { step, agent, work: work() })],
      });
      const record = readRecord(result);
      if (!isNew && record.generation !== undefined) void this.#forgetPieces(step);
      // What is handed on of a stream from here on is on record, and its pieces are not needed.
      if (kind === "stream") await journal.flush();
      const settled = await this.#settled(record);
      this.#streamFailure = undefined;
      return settled;
    } catch (error) {
      this.#failure = error;
      if (kind === "stream") this.#streamFailure = error;
      throw error;
    }
  }

  /** Also where an earlier attempt has died between its receipt and this. */
  async #settled(record: CallRecord): Promise<CallRecord> {
    const { context, journal } = this.#port;
    if (!record.charge) return record;
    const { reservation, amount } = record.charge;
    await journal.flush();
    await context.models.ledger.settle(reservation, amount).catch((error: unknown) => {
      context.logger.warn("A call could not be charged as it was.", { reservation, error });
    });
    return record;
  }

  /** Where the process of an earlier attempt has died between a stream's receipt and its end. */
  async #forgetPieces(step: string): Promise<void> {
    const { context, journal } = this.#port;
    const { key } = journal.stateOf(step) ?? {};
    try {
      if (key !== undefined) await removeStream(context.store, key);
    } catch (error) {
      context.logger.warn("Pieces of a stream are left.", { stream: key, error });
    }
  }

  /** What the SDK took for a tool's answer, and is none, ends the handler here. */
  #assertGoesOn(): void {
    const { journal } = this.#port;
    this.#port.assertOwned();
    if (journal.doubt !== undefined) throw inDoubt(journal.doubt);
    if (this.#toolFailure !== undefined) throw this.#toolFailure;
  }

  #nextName(): string {
    for (;;) {
      const name = ++this.#unnamed === 1 ? "model" : `model-${this.#unnamed}`;
      if (!this.#named.has(name)) return name;
    }
  }

  #place(name: string): string {
    for (let place = (this.#places.get(name) ?? 0) + 1; ; place += 1) {
      this.#places.set(name, place);
      const step = `${name}#${place}`;
      if (this.#take(step)) return step;
    }
  }

  /** A model may give two of its tool calls one id. */
  #unique(name: string): string {
    for (let times = 1; ; times += 1) {
      const step = times === 1 ? name : `${name}.${times}`;
      if (this.#take(step)) return step;
    }
  }

  #take(step: string): boolean {
    if (this.#taken.has(step)) return false;
    this.#taken.add(step);
    return true;
  }
}

interface Named {
  readonly name: string;
  readonly options: ModelOptions;
}
