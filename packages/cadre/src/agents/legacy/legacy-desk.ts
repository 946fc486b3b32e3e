/** What the bridge knows of the older side: who was heard when, and how to speak to it. */
import { isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { JsonValue } from "../../core/json.ts";
import type { Bus } from "../../bus/bus.ts";
import type { TaskContext } from "../agent.ts";
import type { TaskState } from "../task.ts";
import {
  describeTask,
  progressOf,
  readReport,
  resultOf,
  wireIdOf,
  type LegacyReport,
} from "./legacy-words.ts";

/** How tasks and results are put into the older systems' words. */
export interface LegacyWording {
  /** Payload of TASK_CREATED (without an agent) and TASK_ASSIGNED. */
  readonly describe?: (task: TaskState, assignment: number, agent: string | undefined) => unknown;
  /** The output of the task, from TASK_COMPLETED. */
  readonly result?: (event: AgentEvent) => JsonValue;
  /** Which task and which agent an event is about. */
  readonly report?: (event: AgentEvent) => Partial<LegacyReport>;
}

interface Sending {
  readonly key: string;
  readonly to: string | undefined;
  readonly round: number;
}

export class LegacyDesk {
  readonly bus: Bus;
  readonly #wording: LegacyWording;
  readonly #announces: boolean;
  readonly #heardAt = new Map<string, number>();
  readonly #followed = new Map<string, TaskContext>();
  #startedAt: number | undefined;
  #now: () => number = () => 0;
  #open: () => void = () => {};
  readonly #started: Promise<void>;

  constructor(bus: Bus, wording: LegacyWording, announces: boolean) {
    this.bus = bus;
    this.#wording = wording;
    this.#announces = announces;
    this.#started = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  /** Listens by now. @param now monotonic milliseconds */
  start(now: () => number): void {
    this.#now = now;
    this.#startedAt ??= now();
    this.#open();
  }

  /** Resolves when the bridge hears: what is sent before could be answered before. */
  async ready(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#startedAt !== undefined) return;
    let stop = (): void => {};
    const aborted = new Promise<never>((_, reject) => {
      stop = () => reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
    });
    try {
      await Promise.race([this.#started, aborted]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  report(event: AgentEvent): LegacyReport {
    return { ...readReport(event), ...this.#wording.report?.(event) };
  }

  resultOf(heard: AgentEvent): JsonValue {
    return (heard.payload as { readonly result: JsonValue }).result; // made by the bridge
  }

  /** The output that a TASK_COMPLETED says. */
  outputOf(event: AgentEvent): JsonValue {
    return (this.#wording.result ?? resultOf)(event);
  }

  /** Any event of an agent is a sign that it lives. */
  hear(event: AgentEvent): void {
    const { agent, wireId } = this.report(event);
    this.#heardAt.set(agent, this.#now());
    if (event.source !== agent) this.#heardAt.set(event.source, this.#now());
    const fraction = progressOf(event);
    const followed = wireId === undefined ? undefined : this.#followed.get(wireId);
    // Only told on: that the lease has ended by now is no news for the older agent.
    if (fraction !== undefined) void followed?.progress(fraction).catch(() => undefined);
  }

  /**
   * Whether the agent was heard within the time. A bridge that has listened for less has missed
   * what was said before: it gives the agent a whole window first.
   */
  isHeard(agent: string | null, withinMs: number): boolean {
    const now = this.#now();
    if (now - (this.#startedAt ?? now) < withinMs) return true;
    if (agent === null) return false;
    const heardAt = this.#heardAt.get(agent);
    return heardAt !== undefined && now - heardAt < withinMs;
  }

  /** Tells a task's progress on while the returned function is not called. */
  follow(ctx: TaskContext): () => void {
    const wireId = wireIdOf(ctx.task.id);
    this.#followed.set(wireId, ctx);
    return () => {
      if (this.#followed.get(wireId) === ctx) this.#followed.delete(wireId);
    };
  }

  /** Sends what the older side expects. Doing it again sends the same ids again. */
  async send(task: TaskState, { key, to, round }: Sending): Promise<void> {
    const describe = this.#wording.describe ?? describeTask;
    const common = { correlationId: task.correlationId, key: wireIdOf(task.id) };
    if (to === undefined || (this.#announces && round === 1)) {
      const id = createdId(key);
      await this.bus.publish("task.created", describe(task, round, undefined), { ...common, id });
    }
    if (to === undefined) return;
    const options = { ...common, id: assignedId(key), target: to };
    await this.bus.publish("task.assigned", describe(task, round, to), options);
  }

  /** Whether the last message of a step is on the older topics. */
  async wasSent(key: string, to: string | undefined): Promise<boolean> {
    const id = to === undefined ? createdId(key) : assignedId(key);
    try {
      for await (const _event of this.bus.history({ id, limit: 1 })) return true;
    } catch (error) {
      // A carrier without history: it is sent again, under the same id.
      if (!isCadreError(error, "UNSUPPORTED")) throw error;
    }
    return false;
  }
}

const assignedId = (key: string): string => `${key}.assigned`;
const createdId = (key: string): string => `${key}.created`;
