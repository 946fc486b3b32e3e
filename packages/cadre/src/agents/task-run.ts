/**
 * One attempt at one task by its owner.
 *
 *   claimed ──handler returns──▶ completed      result, receipts, held-back events in one commit
 *      ├──────handler throws───▶ retry, or the way back, or failed
 *      ├──────cancelled────────▶ the way back, or cancelled
 *      ├──────step in doubt────▶ in_doubt       a person decides
 *      ├──────lease lost───────▶ (nothing; a result that comes all the same is rejected)
 *      └──────runtime closing──▶ given back, attempt not counted
 *
 * The way back runs the undos of what was done (`undo-run.ts`), and ends failed, cancelled or
 * stuck.
 */
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { AnyAgent, TaskWork } from "./agent.ts";
import type { AgentState } from "./agent-state.ts";
import { outcomeOf, type RunOutcome } from "./health/capability-breakers.ts";
import type { TeamProposals } from "./proposals/team-proposals.ts";
import type { FeatureDesk } from "./feature-desk.ts";
import { hopeless } from "./hopeless.ts";
import { recordLateResult } from "./late-result.ts";
import {
  endTask,
  sagaCompleted,
  stepInDoubt,
  undoneTask,
  undoStuck,
  type TaskEnd,
} from "./saga-events.ts";
import { taskHandedOff } from "./orchestration/handoff.ts";
import type { SignalHub } from "./signal-hub.ts";
import { enterStrictly } from "./strict-entry.ts";
import type { StepJournal } from "./step-journal.ts";
import type { BoardEntry } from "./task-board.ts";
import type { TaskDesk } from "./task-desk.ts";
import { leaseLost, stopped, TaskEntry } from "./task-entry.ts";
import { leaseExpired, taskCompleted, taskRetry } from "./task-events.ts";
import { applyTask, canStop, isFinal, isOwned } from "./task-fold.ts";
import type { SlotHold } from "./task-slots.ts";
import { TaskWriter } from "./task-writer.ts";
import type { TaskState } from "./task.ts";
import type { TeamContext } from "./team-context.ts";
import { UndoRun, type UndoOutcome } from "./undo-run.ts";
import { noteWaits } from "./wait-note.ts";

export interface TaskRunPort {
  readonly context: TeamContext;
  readonly registry: EventRegistry | undefined;
  readonly agent: AnyAgent;
  readonly state: AgentState<unknown>;
  readonly slot: SlotHold;
  readonly desk: TaskDesk;
  readonly features: FeatureDesk;
  readonly signals: SignalHub;
  readonly proposals: TeamProposals;
  /** Whether the owner may count on its lease now. */
  isAlive(): boolean;
}

const retryDelayMs = { least: 200, most: 60_000 } as const;

export class TaskRun {
  readonly #port: TaskRunPort;
  readonly #work: TaskWork;
  readonly #writer: TaskWriter;
  readonly #started: AgentEvent;
  readonly #cancels: (() => void)[] = [];
  #abort = new AbortController();
  /** Set when this process may not go on with the task, whatever else has stopped the attempt. */
  #givenUp: CadreError | undefined;
  #entry: TaskEntry | undefined;
  #handler: Promise<unknown> | undefined;
  outcome: RunOutcome;

  constructor(port: TaskRunPort, work: TaskWork, entry: BoardEntry) {
    this.#port = port;
    this.#work = work;
    this.#writer = new TaskWriter(port.context, entry);
    this.#started = entry.last;
    noteWaits(port.context, port.slot, this.#writer, () => this.#entry?.journal);
  }

  get state(): TaskState {
    return this.#writer.state;
  }

  /** Ends the attempt: the handler's signal is aborted, and what the reason says is written. */
  abort(reason: CadreError): void {
    if (reason.code === "CLOSED") this.#writer.hurry();
    if (reason.code === "CLOSED" || reason.code === "LEASE_LOST") this.#givenUp ??= reason;
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
    } else if (state.cancelRequested !== undefined && canStop(state) && canStop(mine)) {
      const message = `Task ${mine.id} was cancelled: ${state.cancelRequested}`;
      this.abort(new CadreError("CANCELLED", message, { what: `task ${mine.id}` }));
    }
  }

  /** Runs the attempt to its end. Rejects only when the store refuses the end to be written. */
  async run(): Promise<void> {
    try {
      if (this.state.undoing) return await this.#goBack(undefined);
      this.#armTimers();
      if (this.#port.context.strict) return await this.#runStrictly();
      const entry = await this.#enter(false);
      await this.#complete(await this.#handle(entry), entry);
    } catch (error) {
      if (!this.#entry?.handedOff) this.outcome = outcomeOf(error, this.#abort.signal);
      await this.#failed(error);
    } finally {
      this.#disarm();
      // What is left of the handler waits for nothing any more.
      this.#abort.abort(stopped(this.state.id, "has ended this attempt"));
    }
  }

  #armTimers(): void {
    const { clock } = this.#port.context;
    const { id, deadlineAt } = this.state;
    const { timeoutMs } = this.#work.definition;
    const expire = (afterMs: number, what: string, mayEnd = (): boolean => true): void => {
      const error = new CadreError("TIMEOUT", `Task ${id} went over ${what}.`, {
        what: `task ${id}`,
        timeoutMs: afterMs,
      });
      this.#cancels.push(clock.after(afterMs, () => mayEnd() && this.abort(error)));
    };
    if (timeoutMs !== undefined) expire(timeoutMs, `its ${timeoutMs} ms for one attempt`);
    if (deadlineAt === undefined || !canStop(this.state)) return;
    expire(deadlineAt - clock.now(), "its deadline", () => canStop(this.state));
  }

  #disarm(): void {
    for (const cancel of this.#cancels.splice(0)) cancel();
  }

  #handle(entry: TaskEntry): Promise<unknown> {
    this.#entry = entry;
    return this.#untilAborted(() => entry.run());
  }

  async #runStrictly(): Promise<void> {
    const { strict, leaseMs } = this.#port.context;
    try {
      const { entry, output } = await enterStrictly({
        enter: (afterReceipt) => this.#enter(false, afterReceipt),
        run: (entered) => this.#handle(entered),
        patienceMs: leaseMs,
      });
      await this.#complete(output, entry);
    } catch (error) {
      if (isCadreError(error, "STEP_DRIFT")) strict?.(error);
      throw error;
    }
  }

  async #enter(
    replays: boolean,
    afterReceipt?: (step: string) => Promise<void>,
  ): Promise<TaskEntry> {
    const { context, registry, agent, state, slot, desk, features, signals, proposals } =
      this.#port;
    return new TaskEntry({
      context,
      registry,
      agent,
      slot,
      desk,
      features,
      signals,
      proposals,
      work: this.#work,
      writer: this.#writer,
      signal: this.#abort.signal,
      agentState: await state.current(),
      started: this.#started,
      replays,
      ...(afterReceipt === undefined ? {} : { afterReceipt }),
      assertOwned: () => this.#assertAlive(),
    });
  }

  /** By the clock too: in a process that has just thawed, no timer may have told it yet. */
  #assertAlive(): void {
    if (!this.#port.isAlive()) throw leaseLost(this.state.id);
  }

  /** A handler that does not listen to its signal is left behind; it can write nothing any more. */
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

  async #complete(output: unknown, { journal, common, handedOff }: TaskEntry): Promise<void> {
    // A step in doubt is not settled by a handler that looks away, nor a task kept that was given.
    if (journal.doubt !== undefined || handedOff) return this.#failed(handedOff);
    const { context, agent } = this.#port;
    await journal.assertAllAsked();
    this.outcome = {};
    const result = this.#work.definition.checkOutput(output) ?? null;
    const receipts = await journal.finish();
    const { entry } = this.#writer;
    const completed = taskCompleted(context, entry, result);
    const saga = entry.state.isSaga ? [sagaCompleted(context, agent.name, entry, result)] : [];
    try {
      await this.#writer.append([...receipts, ...saga, completed], {
        appends: common.appends,
        outbox: common.heldBack,
      });
    } catch (error) {
      journal.keep(receipts);
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
    if (this.#isLost(error)) {
      context.logger.warn("A task was lost to another owner.", { task: this.state.id, error });
      this.#watchLateResult();
      return;
    }
    const isClosing = signal.aborted && isCadreError(error, "CLOSED");
    const journal = this.#entry?.journal;
    try {
      await journal?.seal(this.#patienceMs(isClosing));
      // What has been done is known to the next attempt; what could not be written is not.
      const receipts = (await journal?.finish().catch(() => [])) ?? [];
      const end = this.#endOf(error, signal.aborted, receipts);
      await this.#writer.append([...receipts, ...end]);
    } catch (writeError) {
      if (!isCadreError(writeError, "LEASE_LOST")) throw writeError;
      return this.#reject("failed");
    }
    if (this.state.undoing && isOwned(this.state.status)) await this.#goBack(journal);
  }

  /**
   * How long a step that still runs is waited for. It is not in doubt: it is about to have its
   * receipt. Nobody takes a task with undos from its owner meanwhile.
   */
  #patienceMs(isClosing: boolean): number {
    const { heartbeatMs, leaseMs } = this.#port.context;
    const owes = this.state.undoable !== undefined || this.state.pivot !== undefined;
    if (isClosing) return owes ? heartbeatMs : 0;
    return owes || !this.#abort.signal.aborted ? leaseMs : heartbeatMs;
  }

  #isLost(error: unknown): boolean {
    const isStopped = this.#abort.signal.aborted || this.#writer.isLost || !this.#port.isAlive();
    return isStopped && (this.#writer.isLost || isCadreError(error, "LEASE_LOST"));
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

  #endOf(
    error: unknown,
    isStopped: boolean,
    receipts: readonly AgentEvent[],
  ): readonly AgentEvent[] {
    const { context, agent } = this.#port;
    const { entry } = this.#writer;
    if (isStopped && isCadreError(error, "CLOSED")) {
      return [leaseExpired(context, agent.name, entry, "released")];
    }
    const doubt = this.#entry?.journal.doubt;
    if (doubt !== undefined && !isStopped) {
      return [stepInDoubt(context, agent.name, entry, doubt)];
    }
    const { handedOff } = this.#entry ?? {};
    if (handedOff && !isStopped) return [taskHandedOff(context, agent.name, entry, handedOff)];
    if (!isStopped && isCadreError(error, "RETRYABLE") && error.details.lapsed) {
      return [leaseExpired(context, agent.name, entry, "silent")];
    }
    let { state } = entry;
    for (const receipt of receipts) state = applyTask(state, receipt) ?? state;
    const end = state.pivot === undefined ? this.#lastEnd(error, isStopped, state) : undefined;
    if (end) return endTask(context, agent.name, entry, { ...end, byOwner: true, state });
    const asked = isCadreError(error, "RETRYABLE") ? error.details.retryAfterMs : undefined;
    const backoff = Math.min(retryDelayMs.most, retryDelayMs.least * 2 ** (state.attempt - 1));
    const delayMs = asked ?? backoff * (0.5 + context.random.next() / 2);
    return [taskRetry(context, entry, error, Math.ceil(context.clock.now() + delayMs))];
  }

  /** How the task ends by this error; nothing, when another attempt follows. */
  #lastEnd(error: unknown, isStopped: boolean, state: TaskState): TaskEnd | undefined {
    const { attempt, maxAttempts, deadlineAt, cancelRequested } = state;
    if (isStopped && isCadreError(error, "CANCELLED")) {
      return { outcome: "cancelled", reason: cancelRequested ?? error.message };
    }
    const terminal = isCadreError(error) && hopeless.has(error.code);
    const late = deadlineAt !== undefined && deadlineAt <= this.#port.context.clock.now();
    return terminal || late || attempt >= maxAttempts ? { outcome: "failed", error } : undefined;
  }

  /**
   * Undoes what was done, then ends the task. Nothing that stops a handler stops this, but a lost
   * lease and the runtime's close.
   */
  async #goBack(forward: StepJournal | undefined): Promise<void> {
    const { context, agent } = this.#port;
    this.#disarm();
    if (this.#givenUp) return this.#letGo(this.#givenUp);
    // What is left of the handler, such as a branch beside the one that failed, is to stop.
    this.#abort.abort(stopped(this.state.id, "undoes what it has done"));
    this.#abort = new AbortController();
    try {
      await forward?.load();
      const outcome = await this.#undo(forward?.hasAllUndos() ? forward : undefined);
      const { entry } = this.#writer;
      let end: readonly AgentEvent[];
      if (outcome.kind === "undone") end = undoneTask(context, agent.name, entry, outcome.undone);
      else if (outcome.kind === "stuck") end = [undoStuck(context, agent.name, entry, outcome)];
      else end = [stepInDoubt(context, agent.name, entry, outcome.step)];
      await this.#writer.append([...outcome.records, ...end]);
    } catch (error) {
      await this.#letGo(this.#abort.signal.aborted ? this.#abort.signal.reason : error);
    }
  }

  async #undo(known: StepJournal | undefined): Promise<UndoOutcome> {
    const { context, slot } = this.#port;
    let journal = known;
    let mayGetFurther = false;
    if (!journal) {
      const entry = await this.#enter(true);
      ({ journal } = entry);
      mayGetFurther = await journal.replay(() => entry.run(), context.leaseMs);
    }
    return new UndoRun({
      journal,
      mayGetFurther,
      clock: context.clock,
      signal: this.#abort.signal,
      append: (events) => this.#writer.append(events),
      assertOwned: () => this.#assertAlive(),
      withoutSlot: (wait) => slot.without(wait),
    }).run();
  }

  /** The way back goes on elsewhere, or here a little later. */
  async #letGo(error: unknown): Promise<void> {
    const { context, agent } = this.#port;
    if (this.#isLost(error)) {
      context.logger.warn("A task was lost to another owner.", { task: this.state.id, error });
      return;
    }
    const { entry } = this.#writer;
    const notBefore = Math.ceil(context.clock.now() + retryDelayMs.least);
    const next = isCadreError(error, "CLOSED")
      ? leaseExpired(context, agent.name, entry, "released")
      : taskRetry(context, entry, error, notBefore);
    await this.#writer.append([next]).catch((writeError: unknown) => {
      if (!isCadreError(writeError, "LEASE_LOST")) throw writeError;
    });
  }

  #reject(outcome: string): Promise<void> {
    return recordLateResult(this.#port.context, this.#port.agent.name, this.#writer.entry, outcome);
  }
}
