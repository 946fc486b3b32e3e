/** Where tasks are asked for: creates them, finds them, waits for their results, cancels them. */
import type { Append } from "../core/commit.ts";
import { CadreError, isCadreError } from "../core/errors.ts";
import { priorities, type AgentEvent } from "../core/event.ts";
import {
  anything,
  checkOptions,
  oneOf,
  someObject,
  someText,
  wholeNumber,
} from "../core/options.ts";
import type { CommitResult } from "../store/event-store.ts";
import type { TaskQuery } from "./cadre.ts";
import { checkBudget, type Budget } from "./models/budget.ts";
import type { NobodyWatch } from "./health/nobody-watch.ts";
import { throughTrouble } from "./passing-trouble.ts";
import { sagaStarted } from "./saga-events.ts";
import { loadTask, type BoardEntry, type TaskBoard } from "./task-board.ts";
import { assertSameInput } from "./step-errors.ts";
import { cancelTask } from "./task-cancel.ts";
import { taskAssigned, taskCreated } from "./task-events.ts";
import { applyTask, isFinal, isOpen, taskStream, taskStreamPrefix, taskIdOf } from "./task-fold.ts";
import type { TaskDefinition, TaskHandle, TaskOptions, TaskState } from "./task.ts";
import type { TeamContext } from "./team-context.ts";

const someWords = { expected: "a list of ids", accepts: Array.isArray };
const optionRules = {
  id: someText,
  priority: oneOf(...priorities),
  deadlineMs: wholeNumber(1),
  maxAttempts: wholeNumber(1),
  dependsOn: someWords,
  assignTo: someText,
  feature: someText,
  tenant: someText,
  budget: someObject,
  parent: someText,
  parentDeadlineAt: anything,
  parentBudget: anything,
  depth: anything,
  cause: someObject,
  sameInput: anything,
};

/** What creates a task beside its user: where it comes from. */
export interface CreateOptions extends TaskOptions {
  readonly parent?: string;
  readonly parentDeadlineAt?: number;
  readonly parentBudget?: Budget;
  /** How many features it is nested in. */
  readonly depth?: number;
  readonly cause?: AgentEvent;
  /** One that is there already must have been made with the same input. */
  readonly sameInput?: boolean;
}

export interface TaskRequest {
  readonly definition: TaskDefinition;
  readonly input: unknown;
  readonly options?: CreateOptions;
}

/**
 * A free worker of this process may take a new task in the commit that creates it: one write less,
 * and no wait.
 */
export interface LocalClaimer {
  claimNew(
    entry: BoardEntry,
  ):
    | { readonly events: readonly AgentEvent[]; start(entry: BoardEntry): void; giveUp(): void }
    | undefined;
}

export class TaskDesk {
  readonly #context: TeamContext;
  readonly #board: TaskBoard;
  readonly #claimers: LocalClaimer[] = [];
  #nobody: NobodyWatch | undefined;

  constructor(context: TeamContext, board: TaskBoard) {
    this.#context = context;
    this.#board = board;
  }

  addClaimer(claimer: LocalClaimer): void {
    this.#claimers.push(claimer);
  }

  /** Who is told of tasks that nobody here has taken. */
  tellOfUnclaimed(nobody: NobodyWatch): void {
    this.#nobody = nobody;
  }

  async create<Input, Output>(
    definition: TaskDefinition<Input, Output>,
    input: Input,
    options: CreateOptions = {},
    guards: readonly Append[] = [],
  ): Promise<TaskHandle<Output>> {
    const request = { definition, input, options } as TaskRequest;
    const prepared = this.#prepare(request);
    const claim = this.#claim(prepared.entry, options);
    const events = [...prepared.events, ...(claim?.events ?? [])];
    let written: CommitResult;
    try {
      written = await this.#context.store.commit({
        appends: [
          ...guards,
          { stream: taskStream(prepared.entry.state.id), expectedVersion: 0, events },
        ],
      });
    } catch (error) {
      claim?.giveUp();
      if (!isThere(error, prepared.entry.state.id)) throw error;
      return this.#known(prepared.entry.state, options);
    }
    if (written.duplicate && !claim) return this.#known(prepared.entry.state, options);
    const entry = fold(events);
    if (!written.duplicate) this.#board.applied(entry, written.position);
    if (claim) claim.start(entry);
    else this.#nobody?.created(entry.state);
    return this.#handle(entry.state.id);
  }

  /**
   * Creates all in one commit. Tasks that are there already stay as they are.
   *
   * @param guard a stream that must be at its version for any of them to be created
   * @throws {CadreError} VERSION_CONFLICT, for the guard's stream
   */
  async createAll(
    requests: readonly TaskRequest[],
    guard?: { readonly stream: string; readonly expectedVersion: number },
  ): Promise<readonly TaskHandle[]> {
    const prepared = requests.map((request) => this.#prepare(request));
    const guards = guard ? [{ ...guard, events: [] }] : [];
    const appends = prepared.map(({ entry, events }): Append => ({
      stream: taskStream(entry.state.id),
      expectedVersion: 0,
      events,
    }));
    try {
      // The board learns of them from the tail: some may be there already, and even have ended.
      await this.#context.store.commit({ appends: [...guards, ...appends] });
    } catch (error) {
      if (guard && isCadreError(error, "VERSION_CONFLICT")) {
        if (error.details.stream === guard.stream) throw error;
      }
      if (!isCadreError(error, "VERSION_CONFLICT") && !isCadreError(error, "DUPLICATE_ID"))
        throw error;
      // Some are there already: one by one, then.
      for (const [index, { definition, input, options }] of requests.entries()) {
        const { id } = prepared[index]!.entry.state;
        await this.create(definition, input, { ...options, id }, guards);
      }
    }
    for (const { entry } of prepared) this.#nobody?.created(entry.state);
    return prepared.map(({ entry }) => this.#handle(entry.state.id));
  }

  async get(id: string): Promise<TaskState | undefined> {
    return (await loadTask(this.#context.store, id))?.state;
  }

  /** Open tasks come from the board; final ones are read from the log, so give a limit. */
  async list(query: TaskQuery = {}): Promise<readonly TaskState[]> {
    const limit = query.limit ?? Infinity;
    const fits = (state: TaskState): boolean =>
      (query.status === undefined || state.status === query.status) &&
      (query.capability === undefined || state.capability === query.capability) &&
      (query.agent === undefined || state.owner?.agent === query.agent) &&
      (query.feature === undefined || state.feature === query.feature);
    const states = new Map<string, TaskState>();
    for await (const stored of this.#context.store.read({ streamPrefix: taskStreamPrefix })) {
      const id = taskIdOf(stored.stream ?? "");
      const state = applyTask(states.get(id), stored.event);
      if (state) states.set(id, state);
    }
    return [...states.values()].filter(fits).slice(0, limit);
  }

  /** False when there is no such task, when it has ended, or when it only goes forward. */
  async cancel(id: string, reason: string): Promise<boolean> {
    if (!(await cancelTask(this.#context, id, reason))) return false;
    for (const child of this.#board.entries()) {
      if (child.state.parent === id)
        await this.cancel(child.state.id, `its parent was cancelled: ${reason}`);
    }
    return true;
  }

  /**
   * Appends to a task's stream as of `entry`. Returns where; nothing when somebody was faster.
   */
  async transition(
    entry: BoardEntry,
    events: readonly AgentEvent[],
  ): Promise<CommitResult | undefined> {
    const stream = taskStream(entry.state.id);
    try {
      return await this.#context.store.commit({
        appends: [{ stream, expectedVersion: entry.version, events }],
      });
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
      return undefined;
    }
  }

  #prepare(request: TaskRequest): {
    readonly events: readonly AgentEvent[];
    readonly entry: BoardEntry;
  } {
    const { definition, options = {} } = request;
    checkOptions(`the task "${definition.name}"`, options, optionRules);
    if (options.budget !== undefined) checkBudget(`the task "${definition.name}"`, options.budget);
    const { clock, random, name } = this.#context;
    const created = taskCreated(this.#context, {
      id: options.id ?? random.id(clock.now()),
      definition,
      input: definition.checkInput(request.input) ?? null,
      options,
      source: name,
      ...(options.parent === undefined ? {} : { parent: options.parent }),
      ...(options.cause === undefined ? {} : { cause: options.cause }),
      ...(options.parentDeadlineAt === undefined
        ? {}
        : { parentDeadlineAt: options.parentDeadlineAt }),
      ...(options.parentBudget === undefined ? {} : { parentBudget: options.parentBudget }),
      ...(options.depth === undefined ? {} : { depth: options.depth }),
    });
    const entry = fold([created]);
    const events = [created];
    if (definition.isSaga) events.push(sagaStarted(this.#context, name, entry));
    if (options.assignTo !== undefined)
      events.push(taskAssigned(this.#context, name, entry, options.assignTo));
    return { events, entry: events.length === 1 ? entry : fold(events) };
  }

  #claim(entry: BoardEntry, options: TaskOptions): ReturnType<LocalClaimer["claimNew"]> {
    if (options.dependsOn?.length) return undefined;
    for (const claimer of this.#claimers) {
      const claim = claimer.claimNew(entry);
      if (claim) return claim;
    }
    return undefined;
  }

  /** A task that was there already; one of another kind is another's. */
  async #known<Output>(
    { id, name, input }: TaskState,
    { sameInput }: CreateOptions,
  ): Promise<TaskHandle<Output>> {
    const state = await this.get(id);
    if (state && sameInput) assertSameInput(id, state.input, input);
    if (!state || state.name === name) return this.#handle(id);
    const message = `The id ${id} is that of a task "${state.name}". Give "${name}" another.`;
    throw new CadreError("DUPLICATE_ID", message, { id });
  }

  #handle<Output>(id: string): TaskHandle<Output> {
    return {
      id,
      result: (options = {}) => this.#result<Output>(id, options),
      state: async () => {
        const state = await this.get(id);
        if (state) return state;
        throw new CadreError("NOT_FOUND", `There is no task ${id}.`, { what: "task", id });
      },
      cancel: async (reason) => void (await this.cancel(id, reason)),
      noAgent: async () => {
        const state = await this.get(id);
        return state && isOpen(state.status) ? this.#nobody?.why(state.capability) : undefined;
      },
    };
  }

  async #result<Output>(
    id: string,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<Output> {
    const state = await this.#finalState(id, options);
    if (state.status === "completed") return state.result as Output;
    const what = `task ${state.name} (${id})`;
    if (state.status === "cancelled") {
      const message = `${what} was cancelled: ${state.cancelRequested ?? "no reason given"}`;
      throw new CadreError("CANCELLED", message, { what });
    }
    const code = state.error?.code ?? state.error?.name ?? "UNKNOWN";
    throw new CadreError(
      "REQUEST_FAILED",
      `${what} failed after ${state.attempt} attempts: ${state.error?.message ?? "no reason given"}`,
      { type: state.name, code, ...(state.error ? { remote: state.error.message } : {}) },
    );
  }

  #finalState(
    id: string,
    options: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<TaskState> {
    return new Promise((resolve, reject) => {
      const ends: (() => void)[] = [];
      const end = (settle: () => void): void => {
        for (const stop of ends.splice(0)) stop();
        settle();
      };
      const { signal, timeoutMs } = options;
      if (signal?.aborted) return reject(signal.reason);
      if (this.#board.closed) return reject(closedError());
      ends.push(
        this.#board.watchTask(id, (state, error) =>
          end(() => (state ? resolve(state) : reject(error))),
        ),
      );
      if (signal) {
        const onAbort = (): void => end(() => reject(signal.reason));
        signal.addEventListener("abort", onAbort, { once: true });
        ends.push(() => signal.removeEventListener("abort", onAbort));
      }
      if (timeoutMs !== undefined) {
        const message = `Task ${id} had no result within ${timeoutMs} ms. It goes on; ask again.`;
        const error = new CadreError("TIMEOUT", message, { what: `task ${id}`, timeoutMs });
        ends.push(this.#context.clock.after(timeoutMs, () => end(() => reject(error))));
      }
      // It may have ended before anybody watched.
      if (!this.#board.get(id)) {
        // A store in trouble is no answer: the question is asked again while somebody waits.
        const { clock } = this.#context;
        throughTrouble(
          clock,
          Infinity,
          () => this.get(id),
          () => ends.length > 0,
        ).then(
          (state) => {
            if (state && isFinal(state.status)) end(() => resolve(state));
          },
          (error: unknown) => end(() => reject(error)),
        );
      }
    });
  }
}

function closedError(): CadreError {
  return new CadreError("CLOSED", "The runtime is closed.", { what: "runtime" });
}

function isThere(error: unknown, id: string): boolean {
  if (isCadreError(error, "VERSION_CONFLICT")) return error.details.stream === taskStream(id);
  return isCadreError(error, "DUPLICATE_ID") && error.details.id === taskStream(id);
}

/** The entry of a stream that these events make. */
function fold(events: readonly AgentEvent[]): BoardEntry {
  let state: TaskState | undefined;
  for (const event of events) state = applyTask(state, event);
  const last = events.at(-1);
  if (!state || !last) throw new CadreError("INTERNAL", "A task without events.", { what: "fold" });
  return { state, version: events.length, last };
}
