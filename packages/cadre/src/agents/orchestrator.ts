/**
 * The orchestrator: decides, from its projection of the log, which planned tasks are due, and
 * creates them.
 *
 * Nothing lives in its memory alone. Any number may run: a task's id follows from its feature and
 * name, so that creating it twice creates one; `started`, `completed` and `blocked` are appends
 * with an expected version, and who loses reads on.
 */
import { CadreError, isCadreError } from "../core/errors.ts";
import type { JsonValue } from "../core/json.ts";
import type { AgentEvent } from "../core/event.ts";
import type { StoredEvent } from "../store/event-store.ts";
import type { Directory } from "./directory.ts";
import {
  applyFeature,
  applyPlannedTask,
  featureCreated,
  featureStream,
  featureStreamPrefix,
  plannedTaskId,
  readyItems,
  type FeatureProgress,
  type PlanItem,
} from "./feature-fold.ts";
import { taskStreamPrefix } from "./task-fold.ts";
import type { TaskDesk, TaskRequest } from "./task-desk.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

export interface Orchestrator {
  /** Resolves when everything that is in the log now has been acted on. */
  caughtUp(): Promise<void>;
  close(): Promise<void>;
}

// then timers run: an orchestrator that reads a long log must not look dead
const eventsPerTurn = 256;
const createBatch = 64; // tasks in one commit
const retryMs = 500;

export function startOrchestrator(
  context: TeamContext,
  parts: { readonly desk: TaskDesk; readonly directory: Directory },
): Orchestrator {
  const orchestrator = new FeatureOrchestrator(context, parts.desk, parts.directory);
  orchestrator.start();
  return orchestrator;
}

class FeatureOrchestrator implements Orchestrator {
  readonly #context: TeamContext;
  readonly #desk: TaskDesk;
  readonly #directory: Directory;
  readonly #features = new Map<string, FeatureProgress>();
  readonly #dirty = new Set<FeatureProgress>();
  #position = 0;
  #working: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #unwatch: () => void = () => {};
  readonly #stop = new AbortController();

  constructor(context: TeamContext, desk: TaskDesk, directory: Directory) {
    this.#context = context;
    this.#desk = desk;
    this.#directory = directory;
  }

  start(): void {
    this.#unwatch = this.#context.store.watch(() => void this.caughtUp());
    void this.caughtUp();
  }

  caughtUp(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#working) {
      this.#again = true;
      return this.#working;
    }
    this.#working = this.#work().finally(() => {
      this.#working = undefined;
    });
    return this.#working;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stop.abort(
      new CadreError("CLOSED", "The orchestrator was closed.", { what: "orchestrator" }),
    );
    this.#unwatch();
    await this.#working;
  }

  async #work(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#read();
        for (const progress of [...this.#dirty]) {
          await this.#decide(progress);
          this.#dirty.delete(progress);
        }
      } catch (error) {
        if (this.#closed || isCadreError(error, "CLOSED")) return;
        this.#context.logger.warn("The orchestrator was interrupted; it tries again.", { error });
        await this.#context.clock.sleep(retryMs, this.#stop.signal).catch(() => undefined);
        this.#again = true;
      }
    } while (this.#again && !this.#closed);
  }

  async #read(): Promise<void> {
    let sinceYield = 0;
    for await (const stored of this.#context.store.read({ after: this.#position })) {
      if (this.#closed) return;
      this.#apply(stored);
      this.#position = stored.position;
      sinceYield += 1;
      if (sinceYield < eventsPerTurn) continue;
      sinceYield = 0;
      await this.#context.clock.yield();
    }
  }

  #apply({ event, stream, version }: StoredEvent): void {
    if (stream?.startsWith(featureStreamPrefix)) {
      const id = stream.slice(featureStreamPrefix.length);
      const known = this.#features.get(id);
      // What comes after the end that this one wrote itself is of a feature that it has forgotten.
      if (!known && event.type !== "feature.created") return;
      const progress = known ?? featureCreated(event);
      if (known) applyFeature(known, event, version ?? known.version);
      else this.#features.set(id, progress);
      if (isDone(progress)) this.#forget(progress);
      else this.#dirty.add(progress);
    } else if (stream?.startsWith(taskStreamPrefix)) {
      const planned = this.#plannedOf(stream.slice(taskStreamPrefix.length));
      if (!planned) return;
      if (applyPlannedTask(planned.progress, planned.name, event))
        this.#dirty.add(planned.progress);
    }
  }

  #plannedOf(taskId: string): { progress: FeatureProgress; name: string } | undefined {
    for (let dot = taskId.indexOf("."); dot > 0; dot = taskId.indexOf(".", dot + 1)) {
      const progress = this.#features.get(taskId.slice(0, dot));
      const name = taskId.slice(dot + 1);
      if (progress?.items.has(name)) return { progress, name };
    }
    return undefined;
  }

  #forget(progress: FeatureProgress): void {
    this.#features.delete(progress.id);
    this.#dirty.delete(progress);
  }

  async #decide(progress: FeatureProgress): Promise<void> {
    if (this.#closed || isDone(progress)) return;
    if (progress.reason !== undefined) {
      await this.#append(progress, "feature.blocked", { reason: progress.reason });
      return;
    }
    if (progress.completed === progress.items.size) {
      await this.#append(progress, "feature.completed", { tasks: progress.items.size });
      return;
    }
    const ready = readyItems(progress);
    if (ready.length === 0) return;
    if (progress.feature === "created") await this.#append(progress, "feature.started", {});
    const requests = this.#requests(progress, ready);
    for (let start = 0; start < requests.length; start += createBatch) {
      await this.#desk.createAll(requests.slice(start, start + createBatch));
    }
  }

  #requests(progress: FeatureProgress, items: readonly PlanItem[]): readonly TaskRequest[] {
    const room = new Map<string, { agent: string; free: number }[]>();
    return items.map((item) => {
      const assignTo = this.#choose(item.capability, room);
      const priority = item.priority ?? progress.priority;
      return {
        definition: {
          name: item.task,
          capability: item.capability,
          version: item.version,
          maxAttempts: item.maxAttempts,
          ...(item.deadlineMs === undefined ? {} : { deadlineMs: item.deadlineMs }),
          // The plan was checked when it was made; results of other tasks are checked by the task's
          // owner.
          checkInput: (input) => input,
          checkOutput: (output) => output,
        },
        input: inputOf(progress, item),
        options: {
          id: plannedTaskId(progress.id, item.name),
          feature: progress.id,
          cause: progress.created,
          ...(priority === undefined ? {} : { priority }),
          ...(item.budget === undefined ? {} : { budget: item.budget }),
          ...(progress.tenant === undefined ? {} : { tenant: progress.tenant }),
          ...(progress.budget === undefined ? {} : { parentBudget: progress.budget }),
          ...(assignTo === undefined ? {} : { assignTo }),
        },
      };
    });
  }

  /** The agent with the most room left, counting what this decision has given it already. */
  #choose(
    capability: string,
    room: Map<string, { agent: string; free: number }[]>,
  ): string | undefined {
    let agents = room.get(capability);
    if (!agents) {
      agents = this.#directory
        .find({ capability, free: true })
        .filter(({ presence }) => presence === "online" || presence === "returned")
        .map(({ card }) => ({ agent: card.agent, free: card.capacity - card.load }));
      room.set(capability, agents);
    }
    const best = agents.reduce<{ agent: string; free: number } | undefined>(
      (most, next) => (next.free > (most?.free ?? 0) ? next : most),
      undefined,
    );
    if (!best) return undefined;
    best.free -= 1;
    return best.agent;
  }

  async #append(
    progress: FeatureProgress,
    type: string,
    fields: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    const payload = { featureId: progress.id, title: progress.title, ...fields };
    const event: AgentEvent = teamEvent(this.#context, this.#context.name, type, payload, {
      cause: progress.created,
    });
    const stream = featureStream(progress.id);
    try {
      await this.#context.store.commit({
        appends: [{ stream, expectedVersion: progress.version, events: [event] }],
      });
      applyFeature(progress, event, progress.version + 1);
      if (isDone(progress)) this.#forget(progress);
    } catch (error) {
      // A replica was faster; its event comes with the next read.
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
      this.#again = true;
    }
  }
}

function isDone(progress: FeatureProgress): boolean {
  return progress.feature === "completed" || progress.feature === "blocked";
}

function inputOf(progress: FeatureProgress, item: PlanItem): JsonValue {
  if (item.dependsOn.length === 0) return item.input;
  const results = Object.fromEntries(
    item.dependsOn.map((name) => [name, progress.results.get(name) ?? null]),
  );
  const input = isRecord(item.input) ? item.input : { value: item.input };
  return { ...input, results };
}

function isRecord(value: JsonValue): value is Readonly<Record<string, JsonValue>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
