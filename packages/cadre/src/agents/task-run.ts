/**
 * One attempt at one task by its owner.
 *
 *   claimed ──handler returns──▶ completed      result, receipts, held-back events in one commit
 *      ├──────handler throws───▶ retry | failed
 *      ├──────lease lost───────▶ (nothing; a result that comes all the same is rejected)
 *      ├──────cancelled────────▶ cancelled
 *      └──────runtime closing──▶ given back, attempt not counted
 */
import { CadreError, isCadreError, type ErrorCode } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { AnyAgent, TaskContext, TaskWork } from "./agent.ts";
import type { AgentState } from "./agent-state.ts";
import { HandlerContext } from "./handler-context.ts";
import { StepJournal } from "./step-journal.ts";
import { loadTask, type BoardEntry } from "./task-board.ts";
import type { TaskDesk } from "./task-desk.ts";
import {
  leaseExpired,
  resultRejected,
  taskChanged,
  taskCompleted,
  taskFailed,
  taskProgress,
  taskRetry,
} from "./task-events.ts";
import { isFinal, taskStream } from "./task-fold.ts";
import type { SlotHold } from "./task-slots.ts";
import { TaskWriter } from "./task-writer.ts";
import type { TaskDefinition, TaskHandle, TaskOptions, TaskState } from "./task.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

export interface TaskRunPort {
  readonly context: TeamContext;
  readonly registry: EventRegistry | undefined;
  readonly agent: AnyAgent;
  readonly state: AgentState<unknown>;
  readonly slot: SlotHold;
  readonly desk: TaskDesk;
  /** Whether the owner may count on its lease now. */
  isAlive(): boolean;
}

// reports in between are merged: a loop that reports each item must not fill the log
/** What no other attempt can mend: only a person, or another version of the code. */
const hopeless: ReadonlySet<ErrorCode> = new Set([
  "TERMINAL",
  "INVALID_PAYLOAD",
  "INVALID_OPTION",
  "STEP_DRIFT",
  "STEP_IN_DOUBT",
]);
const progressEveryMs = 1_000;
const maxRetryDelayMs = 60_000;
const minRetryDelayMs = 200;

export class TaskRun {
  readonly #port: TaskRunPort;
  readonly #work: TaskWork;
  readonly #writer: TaskWriter;
  readonly #abort = new AbortController();
  readonly #cancels: (() => void)[] = [];
  #journal: StepJournal | undefined;
  #lastProgressAt = -Infinity;
  #handler: Promise<unknown> | undefined;

  constructor(port: TaskRunPort, work: TaskWork, entry: BoardEntry) {
    this.#port = port;
    this.#work = work;
    this.#writer = new TaskWriter(port.context, entry);
  }

  get state(): TaskState {
    return this.#writer.state;
  }

  /** Ends the attempt: the handler's signal is aborted, and what the reason says is written. */
  abort(reason: CadreError): void {
    if (reason.code === "CLOSED") this.#writer.hurry();
    this.#abort.abort(reason);
  }

  /** What happened to the task elsewhere. */
  notice(entry: BoardEntry): void {
    const mine = this.state;
    const { state } = entry;
    if (state.epoch > mine.epoch || isFinal(state.status)) {
      const message =
        `Task ${mine.id} is at epoch ${state.epoch} (${state.status}); ` +
        `this was epoch ${mine.epoch}.`;
      this.abort(new CadreError("LEASE_LOST", message, { what: `task ${mine.id}` }));
    } else if (state.cancelRequested !== undefined) {
      const message = `Task ${mine.id} was cancelled: ${state.cancelRequested}`;
      this.abort(new CadreError("CANCELLED", message, { what: `task ${mine.id}` }));
    }
  }

  /** Runs the attempt to its end. Rejects only when the store refuses the end to be written. */
  async run(): Promise<void> {
    const started = this.#writer.entry.last;
    this.#armTimers();
    try {
      const agentState = await this.#port.state.current();
      const journal = new StepJournal(this.#journalSink());
      this.#journal = journal;
      const common = new HandlerContext({
        context: this.#port.context,
        registry: this.#port.registry,
        agent: this.#port.agent.name,
        attempt: this.state.attempt,
        signal: this.#abort.signal,
        state: agentState,
        journal,
        assertOwned: () => this.#assertOwned(),
        cause: () => started,
        withoutSlot: (wait) => this.#port.slot.without(wait),
      });
      const input = this.#work.definition.checkInput(this.state.input);
      const context = this.#taskContext(common);
      const output = await this.#untilAborted(() => this.#work.run(input, context));
      await this.#complete(output, common, journal);
    } catch (error) {
      await this.#failed(error);
    } finally {
      for (const cancel of this.#cancels) cancel();
    }
  }

  #armTimers(): void {
    const { clock } = this.#port.context;
    const { id, deadlineAt } = this.state;
    const { timeoutMs } = this.#work.definition;
    const expire = (afterMs: number, what: string): void => {
      const error = new CadreError("TIMEOUT", `Task ${id} went over ${what}.`, {
        what: `task ${id}`,
        timeoutMs: afterMs,
      });
      this.#cancels.push(clock.after(afterMs, () => this.abort(error)));
    };
    if (timeoutMs !== undefined) expire(timeoutMs, `its ${timeoutMs} ms for one attempt`);
    if (deadlineAt !== undefined) expire(deadlineAt - clock.now(), "its deadline");
  }

  /**
   * A handler that does not listen to its signal is left behind; its context can write nothing any
   * more.
   */
  #untilAborted(run: () => unknown): Promise<unknown> {
    const { signal } = this.#abort;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      this.#handler = Promise.resolve().then(run);
      this.#handler.then(resolve, reject);
    });
  }

  /** By the clock too: in a process that has just thawed, no timer may have told it yet. */
  #assertOwned(): void {
    this.#abort.signal.throwIfAborted();
    if (this.#port.isAlive()) return;
    const { id } = this.state;
    const message = `The lease on task ${id} could not be renewed in time.`;
    throw new CadreError("LEASE_LOST", message, { what: `task ${id}` });
  }

  async #history(): Promise<readonly AgentEvent[]> {
    const { epoch, attempt, id } = this.state;
    if (epoch === 1 && attempt === 1) return [];
    const events: AgentEvent[] = [];
    for await (const { event } of this.#port.context.store.read({ stream: taskStream(id) })) {
      if (event.type.startsWith("step.")) events.push(event);
    }
    return events;
  }

  #journalSink(): ConstructorParameters<typeof StepJournal>[0] {
    const { context, agent } = this.#port;
    return {
      key: this.state.id,
      clock: context.clock,
      history: () => this.#history(),
      assertOwned: () => this.#assertOwned(),
      makeEvent: (type, payload) =>
        teamEvent(
          context,
          agent.name,
          type,
          {
            taskId: this.state.id,
            epoch: this.state.epoch,
            attempt: this.state.attempt,
            ...payload,
          },
          { cause: this.#writer.entry.last },
        ),
      append: (events) => this.#writer.append(events),
    };
  }

  #taskContext(common: HandlerContext<unknown>): TaskContext {
    const base = common.make();
    const { desk, slot } = this.#port;
    const spawn = async <Input, Output>(
      name: string,
      definition: TaskDefinition<Input, Output>,
      input: Input,
      options: TaskOptions = {},
    ): Promise<TaskHandle<Output>> => {
      const { id, deadlineAt } = this.state;
      this.#assertOwned();
      // The child's id follows from the parent and the name: a second attempt finds the child of
      // the first.
      const childId = options.id ?? `${id}.${name}`;
      await this.#journal?.flush();
      return desk.create(definition, input, {
        ...options,
        id: childId,
        parent: id,
        cause: this.#writer.entry.last,
        ...(deadlineAt === undefined ? {} : { parentDeadlineAt: deadlineAt }),
      });
    };
    return {
      ...base,
      task: this.state,
      epoch: this.state.epoch,
      progress: (fraction, note) => this.#progress(fraction, note),
      spawn,
      call: async (name, definition, input, options) => {
        const handle = await spawn(name, definition, input, options);
        return slot.without(() => handle.result({ signal: this.#abort.signal }));
      },
    };
  }

  async #progress(fraction: number, note: string | undefined): Promise<void> {
    this.#assertOwned();
    const now = this.#port.context.clock.monotonic();
    if (now - this.#lastProgressAt < progressEveryMs) return;
    this.#lastProgressAt = now;
    await this.#writer.append([
      taskProgress(this.#port.context, this.#writer.entry, fraction, note),
    ]);
  }

  async #complete(
    output: unknown,
    common: HandlerContext<unknown>,
    journal: StepJournal,
  ): Promise<void> {
    const result = this.#work.definition.checkOutput(output);
    const receipts = await journal.finish();
    const completed = taskCompleted(this.#port.context, this.#writer.entry, result ?? null);
    try {
      await this.#writer.append([...receipts, completed], {
        appends: common.appends,
        outbox: common.heldBack,
      });
    } catch (error) {
      if (!isCadreError(error, "LEASE_LOST")) throw error;
      this.#handler = undefined;
      await this.#reject("completed");
      throw error;
    }
  }

  async #failed(thrown: unknown): Promise<void> {
    const { context } = this.#port;
    const { signal } = this.#abort;
    // What stopped the attempt decides, not how the handler took it; and an error of the handler's
    // own that looks like one of ours (of a lease or a task of its own) is an error like any other.
    const error: unknown = signal.aborted ? signal.reason : thrown;
    const isStopped = signal.aborted || this.#writer.isLost || !this.#port.isAlive();
    if (isStopped && (this.#writer.isLost || isCadreError(error, "LEASE_LOST"))) {
      context.logger.warn("A task was lost to another owner.", { task: this.state.id, error });
      this.#watchLateResult();
      return;
    }
    try {
      // What has been done is known to the next attempt; what could not be written is not.
      const receipts = (await this.#journal?.finish().catch(() => [])) ?? [];
      await this.#writer.append([...receipts, this.#endOf(error, signal.aborted)]);
    } catch (writeError) {
      if (!isCadreError(writeError, "LEASE_LOST")) throw writeError;
      await this.#reject("failed");
    }
  }

  /**
   * The handler was left behind when the lease was lost. If it still brings a result, that is on
   * record.
   */
  #watchLateResult(): void {
    const { logger } = this.#port.context;
    this.#handler
      ?.then(
        () => this.#reject("completed"),
        () => undefined,
      )
      .catch((error: unknown) => logger.warn("A late result could not be recorded.", { error }));
    this.#handler = undefined;
  }

  #endOf(error: unknown, isStopped: boolean): AgentEvent {
    const { context, agent } = this.#port;
    const { entry } = this.#writer;
    const { attempt, maxAttempts, deadlineAt } = this.state;
    if (isStopped && isCadreError(error, "CLOSED")) {
      return leaseExpired(context, agent.name, entry, "released");
    }
    if (isStopped && isCadreError(error, "CANCELLED")) {
      const reason = this.state.cancelRequested ?? error.message;
      return taskChanged(context, agent.name, entry, { type: "task.cancelled", reason });
    }
    const now = context.clock.now();
    const terminal = isCadreError(error) && hopeless.has(error.code);
    const late = deadlineAt !== undefined && deadlineAt <= now;
    if (terminal || late || attempt >= maxAttempts) {
      return taskFailed(context, agent.name, entry, error);
    }
    const asked = isCadreError(error, "RETRYABLE") ? error.details.retryAfterMs : undefined;
    const backoff = Math.min(maxRetryDelayMs, minRetryDelayMs * 2 ** (attempt - 1));
    const delayMs = asked ?? backoff * (0.5 + context.random.next() / 2);
    return taskRetry(context, entry, error, Math.ceil(now + delayMs));
  }

  async #reject(outcome: string): Promise<void> {
    const { context, agent } = this.#port;
    const current = await loadTask(context.store, this.state.id);
    if (!current) return;
    const { state } = current;
    // At its own epoch only this owner could complete it: it did, and was not told. And what ended
    // over its head, by time or by a cancellation, was told to stop: its failing is no news.
    if (state.epoch === this.state.epoch && (state.status === "completed" || outcome === "failed"))
      return;
    const owner = { agent: agent.name, incarnation: context.incarnation };
    const late = { entry: this.#writer.entry, current: current.state, outcome };
    await context.store.commit({
      appends: [
        {
          stream: taskStream(this.state.id),
          expectedVersion: "any",
          events: [resultRejected(context, owner, late)],
        },
      ],
    });
  }
}
