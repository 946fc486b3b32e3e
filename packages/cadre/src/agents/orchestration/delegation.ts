/**
 * What the handler of a task hands on: features, many tasks at once, one task to several.
 *
 * Everything has an id that follows from the task and a name, so that a second attempt finds what
 * the first one asked for. What was chosen among several is a step of the journal.
 */
import { CadreError, TerminalError, describeError, isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { toFrozenJson, type JsonValue } from "../../core/json.ts";
import type { FeatureDesk } from "../feature-desk.ts";
import type { FeaturePlan } from "../feature.ts";
import type { PlanItem } from "../feature-fold.ts";
import type { StepJournal } from "../step-journal.ts";
import type { TaskDesk } from "../task-desk.ts";
import { isFinal } from "../task-fold.ts";
import type { SlotHold } from "../task-slots.ts";
import type { TaskDefinition, TaskHandle, TaskOptions, TaskState } from "../task.ts";
import type { TeamContext } from "../team-context.ts";
import { never } from "../within-time.ts";
import { planItem, invalidPlan } from "./plan-items.ts";
import type { Gathered, MapOptions, MapOutcome, ScatterOptions, ScatterTo } from "./delegated.ts";

export interface DelegationPort {
  readonly context: TeamContext;
  readonly agent: string;
  readonly desk: TaskDesk;
  readonly features: FeatureDesk;
  readonly journal: StepJournal;
  readonly slot: SlotHold;
  readonly signal: AbortSignal;
  readonly replays: boolean;
  state(): TaskState;
  cause(): AgentEvent;
  assertOwned(): void;
  spawn<Input, Output>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    input: Input,
    options?: TaskOptions,
  ): Promise<TaskHandle<Output>>;
}

export const maxFeatureDepth = 8; // features within features: deeper ones ask for themselves
const defaultConcurrency = 16;
const windowOfConcurrency = 4; // results that wait for an earlier one, for each that runs
const maxScattered = 1_000;

/** The next outcome of a child: its result, or why it has none. */
type Outcome<Output> =
  | { readonly ok: true; readonly value: Output }
  | { readonly ok: false; readonly error: CadreError };

export class Delegation {
  readonly #port: DelegationPort;

  constructor(port: DelegationPort) {
    this.#port = port;
  }

  /** See `TaskContext.feature`. */
  async feature(name: string, plan: FeaturePlan): Promise<Readonly<Record<string, JsonValue>>> {
    const { agent, features, journal, replays, signal, slot } = this.#port;
    const parent = this.#port.state();
    this.#port.assertOwned();
    assertDepth(parent, plan.title);
    const id = plan.id ?? `${parent.id}/${name}`;
    const items = typeof plan.planner === "function" ? await this.#plan(name, plan) : undefined;
    await journal.flush();
    if (replays && !(await features.get(id))) return never();
    const origin = { parent, agent, cause: this.#port.cause() };
    const handle = await features.create({ ...plan, id }, origin, items);
    const end = await slot.without(() => handle.finished({ signal }));
    this.#port.assertOwned();
    if (end.status === "completed") return handle.results();
    const reason = end.reason ?? "no reason given";
    const message = `Feature "${end.title}" (${id}) is ${end.status}: ${reason}`;
    const details = { feature: id, kind: end.lacks ?? end.status, reason };
    throw new CadreError("FEATURE_BLOCKED", message, details);
  }

  /** A function plans once, over all attempts. */
  #plan(name: string, { planner, goal, title }: FeaturePlan): Promise<readonly PlanItem[]> {
    const made = async (): Promise<readonly PlanItem[]> => {
      if (typeof planner !== "function") return [];
      const problems: string[] = [];
      const tasks = await planner(toFrozenJson(goal ?? null));
      const items = tasks.map((task) => planItem(task, problems));
      if (problems.length > 0) throw invalidPlan(title, problems);
      return items;
    };
    const call = { name: `${name}/plan`, input: goal, run: made, options: {} };
    return this.#port.journal.step(call);
  }

  /** See `TaskContext.scatter`. */
  async scatter<Input, Output>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    to: ScatterTo<Input>,
    options: ScatterOptions,
  ): Promise<readonly Gathered<Output>[]> {
    const { journal, slot } = this.#port;
    const parts =
      "agents" in to
        ? to.agents.map((agent) => ({ input: to.input, agent }))
        : to.inputs.map((input) => ({ input, agent: undefined }));
    const quorum = options.quorum ?? parts.length;
    assertQuorum(name, quorum, parts.length);
    const run = (): Promise<readonly Gathered<Output>[]> =>
      this.#gather(name, definition, parts, { ...options, quorum });
    const input = { parts: parts.map((part) => ({ ...part })), quorum };
    return slot.without(() => journal.step({ name, input, run, options: {} }));
  }

  async #gather<Input, Output>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    parts: readonly { readonly input: Input; readonly agent: string | undefined }[],
    options: ScatterOptions & { readonly quorum: number },
  ): Promise<readonly Gathered<Output>[]> {
    const { quorum, timeoutMs, onLate = "cancel" } = options;
    const dueAt =
      timeoutMs === undefined ? undefined : await this.#port.journal.timeWithin(name, timeoutMs);
    const handles: TaskHandle<Output>[] = [];
    for (const [index, { input, agent }] of parts.entries()) {
      const more = agent === undefined ? {} : { assignTo: agent };
      handles.push(await this.#port.spawn(`${name}.${index}`, definition, input, more));
    }
    let results: readonly Gathered<Output>[];
    try {
      results = await this.#first(name, handles, parts, { quorum, timeoutMs, dueAt });
    } catch (error) {
      if (isCadreError(error, "TERMINAL")) await this.#cancelAll(handles, name, onLate);
      throw error;
    }
    // Before the choice is on record: after it, nobody would come back to them.
    await this.#cancelAll(handles, name, onLate);
    return results;
  }

  /** The first results, as many as are enough. @throws {TerminalError} when they cannot be had */
  async #first<Output>(
    name: string,
    handles: readonly TaskHandle<Output>[],
    parts: readonly { readonly agent: string | undefined }[],
    limits: {
      readonly quorum: number;
      readonly timeoutMs: number | undefined;
      readonly dueAt: number | undefined;
    },
  ): Promise<readonly Gathered<Output>[]> {
    const { clock } = this.#port.context;
    const { quorum, timeoutMs, dueAt } = limits;
    const results: Gathered<Output>[] = [];
    const failures: string[] = [];
    let isOver = false;
    let cancelTimer = (): void => {};
    const enough = new Promise<void>((resolve, reject) => {
      const heard = handles.map(async (handle, index) => {
        const outcome = await this.#outcome(handle);
        const { agent } = parts[index]!;
        if (outcome.ok && results.length < quorum) {
          const who = agent === undefined ? {} : { agent };
          results.push({ index, ...who, result: outcome.value });
        } else if (!outcome.ok) failures.push(`${agent ?? index}: ${outcome.error.message}`);
        if (results.length >= quorum) resolve();
        else if (failures.length > parts.length - quorum) {
          reject(new TerminalError(noQuorum(name, { quorum, parts: parts.length, failures })));
        }
      });
      Promise.all(heard).catch(reject);
      if (dueAt === undefined || timeoutMs === undefined) return;
      const late = (): void => {
        const had = `${results.length} of ${quorum} results within ${timeoutMs} ms`;
        reject(new TerminalError(`Scatter "${name}" had ${had}.`));
      };
      // After a crash the time may be over, and the results have come before it was.
      allThatEnded(handles, heard).then(() => {
        const leftMs = Math.max(0, Math.min(timeoutMs, dueAt - clock.now()));
        if (!isOver) cancelTimer = clock.after(leftMs, late);
      }, reject);
    });
    try {
      await enough;
      return results;
    } finally {
      isOver = true;
      cancelTimer();
    }
  }

  async #cancelAll(
    handles: readonly TaskHandle<unknown>[],
    name: string,
    onLate: "cancel" | "keep",
  ): Promise<void> {
    if (onLate === "keep") return;
    for (const { id } of handles) {
      await this.#port.desk.cancel(id, `"${name}" is decided without it`);
    }
  }

  /** See `TaskContext.map`. */
  map<Input, Output, Sum>(
    name: string,
    definition: TaskDefinition<Input, Output>,
    items: Iterable<Input>,
    options: MapOptions<Output, Sum>,
  ): Promise<unknown> {
    const { concurrency = defaultConcurrency, onFailure = "fail-fast", reduce } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1) {
      const message = `Map "${name}" has concurrency ${concurrency}. Give a whole number from 1.`;
      throw new CadreError("INVALID_OPTION", message, { option: "concurrency" });
    }
    const collected: (Output | MapOutcome<Output>)[] = [];
    let sum = options.initial as Sum;
    const take = (outcome: Outcome<Output>, index: number): void => {
      if (!outcome.ok) collected.push({ status: "failed", error: plain(outcome.error) });
      else if (reduce) sum = reduce(sum, outcome.value, index);
      else if (onFailure === "collect")
        collected.push({ status: "completed", result: outcome.value });
      else collected.push(outcome.value);
    };
    const failFast = onFailure === "fail-fast";
    const running = this.#mapAll({ name, definition, items, concurrency, failFast, take });
    return this.#port.slot.without(() => running).then(() => (reduce ? sum : collected));
  }

  /** Children are begun in order, so many at once, and their outcomes are taken in order. */
  async #mapAll<Input, Output>(work: {
    readonly name: string;
    readonly definition: TaskDefinition<Input, Output>;
    readonly items: Iterable<Input>;
    readonly concurrency: number;
    readonly failFast: boolean;
    take(outcome: Outcome<Output>, index: number): void;
  }): Promise<void> {
    const { name, definition, concurrency, failFast } = work;
    const window: Promise<Outcome<Output>>[] = [];
    const open = new Set<Promise<TaskHandle<Output>>>();
    let failed: { readonly index: number; readonly error: CadreError } | undefined;
    let broken: { readonly error: unknown } | undefined;
    let onRoom = (): void => {};
    let taken = 0;
    const begin = async (input: Input, index: number): Promise<Outcome<Output>> => {
      const child = this.#port.spawn(`${name}.${index}`, definition, input);
      open.add(child);
      const outcome = await this.#outcome(await child);
      open.delete(child);
      if (!outcome.ok && failFast) failed ??= { index, error: outcome.error };
      return outcome;
    };
    let running = 0;
    const room = (): Promise<void> =>
      new Promise((resolve) => {
        onRoom = resolve;
        if (running < concurrency || failed || broken) resolve();
      });
    const takeFirst = async (): Promise<void> => {
      const outcome = await window.shift()!;
      if (outcome.ok || !failFast) work.take(outcome, taken);
      taken += 1;
    };
    let index = 0;
    for (const item of work.items) {
      await room();
      if (failed || broken) break;
      running += 1;
      const outcome = begin(item, index).finally(() => {
        running -= 1;
        onRoom();
      });
      outcome.catch((error: unknown) => {
        broken ??= { error };
        onRoom();
      });
      window.push(outcome);
      index += 1;
      if (window.length >= concurrency * windowOfConcurrency) await takeFirst();
    }
    while (window.length > 0 && !failed && !broken) await takeFirst();
    if (failed) return this.#endMap(name, failed, open);
    if (broken) throw broken.error;
    return undefined;
  }

  async #endMap(
    name: string,
    { index, error }: { readonly index: number; readonly error: CadreError },
    open: Iterable<Promise<TaskHandle<unknown>>>,
  ): Promise<never> {
    const why = `item ${index} of map "${name}" failed`;
    await this.#cancelOpen(open, why);
    throw new TerminalError(`${why}: ${error.message}`);
  }

  /** Also those that are only being made. */
  async #cancelOpen(open: Iterable<Promise<TaskHandle<unknown>>>, why: string): Promise<void> {
    for (const child of open) {
      const handle = await child.catch(() => undefined); // then there is none
      if (handle) await this.#port.desk.cancel(handle.id, why);
    }
  }

  /** How a child has ended. Rejects when this attempt ends before, or nobody can know any more. */
  async #outcome<Output>(handle: TaskHandle<Output>): Promise<Outcome<Output>> {
    const { signal } = this.#port;
    try {
      return { ok: true, value: await handle.result({ signal }) };
    } catch (error) {
      if (signal.aborted) throw error;
      if (isCadreError(error, "REQUEST_FAILED") || isCadreError(error, "CANCELLED")) {
        return { ok: false, error };
      }
      throw error;
    }
  }
}

/** Resolves when what has come of those that have ended by now was heard. */
async function allThatEnded(
  handles: readonly TaskHandle<unknown>[],
  heard: readonly Promise<void>[],
): Promise<void> {
  const states = await Promise.all(handles.map((handle) => handle.state()));
  await Promise.allSettled(heard.filter((_, index) => isFinal(states[index]!.status)));
}

function assertDepth({ id, depth = 0 }: TaskState, title: string): void {
  if (depth < maxFeatureDepth) return;
  throw new TerminalError(
    `Task ${id} is ${depth} features deep and asks for "${title}": ${maxFeatureDepth} is the most.`,
  );
}

function assertQuorum(name: string, quorum: number, parts: number): void {
  const fits = Number.isInteger(quorum) && quorum >= 1 && quorum <= parts && parts <= maxScattered;
  if (fits) return;
  const message =
    `Scatter "${name}" has ${parts} parts and quorum ${quorum}. ` +
    `Give 1 to ${maxScattered} parts, and a quorum of at most as many.`;
  throw new CadreError("INVALID_OPTION", message, { option: "quorum", value: quorum });
}

function noQuorum(
  name: string,
  counts: { readonly quorum: number; readonly parts: number; readonly failures: readonly string[] },
): string {
  const { quorum, parts, failures } = counts;
  const shown = failures.slice(0, 3).join("; ");
  return (
    `Scatter "${name}" can't have ${quorum} of ${parts} results: ` +
    `${failures.length} failed (${shown}).`
  );
}

function plain(error: CadreError): { readonly message: string; readonly code: string } {
  return { message: describeError(error).message, code: error.code };
}
