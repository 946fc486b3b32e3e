/**
 * The orchestrator: decides, from its projection of the log, which planned tasks are due, and
 * creates them.
 *
 * Nothing lives in its memory alone. Any number may run: a task's id follows from its feature and
 * name, so that creating it twice creates one; what is written names the version of the feature's
 * stream that it was decided by, and who loses reads on.
 */
import { CadreError, isCadreError } from "../core/errors.ts";
import type { AgentEvent } from "../core/event.ts";
import type { Directory } from "./directory.ts";
import {
  applyFeature,
  featureStream,
  planningName,
  plannedTaskId,
  readyItems,
  taskIdOfItem,
  type FeatureProgress,
  type Obstacle,
  type PlanItem,
} from "./feature-fold.ts";
import { Assignment, scoreOfPermitted } from "./orchestration/assignment.ts";
import { createPlanned } from "./orchestration/create-planned.ts";
import { FeatureBoard } from "./orchestration/feature-board.ts";
import { cancelFeature } from "./orchestration/feature-changes.ts";
import { FeatureReader } from "./orchestration/feature-reader.ts";
import { isOffered, missingAgent, obstacleOf, standsYet } from "./orchestration/obstacles.ts";
import { inputOf, plannedRequest } from "./orchestration/planned-request.ts";
import type { OrchestratorSettings } from "./orchestration/orchestrator-options.ts";
import { needsPlan, planningTask, takePlan } from "./orchestration/planning.ts";
import { ReleaseGate } from "./orchestration/release-gate.ts";
import { isFinal, isOpen } from "./task-fold.ts";
import type { TaskBoard } from "./task-board.ts";
import type { TaskDesk, TaskRequest } from "./task-desk.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

export interface Orchestrator {
  /** Resolves when everything that is in the log now has been acted on. */
  caughtUp(): Promise<void>;
  close(): Promise<void>;
}

export interface OrchestratorPort {
  readonly desk: TaskDesk;
  readonly board: TaskBoard;
  readonly directory: Directory;
  readonly settings: OrchestratorSettings;
  /** Whether the bus can be listened to. */
  readonly subscribes: boolean;
}

const createBatch = 64; // tasks in one commit
const retryMs = 500;
const pressureBeats = 5; // heartbeats for which a word of backpressure counts
const lookedAtForAgents = 1_000; // tasks without an agent that one look goes through

export async function startOrchestrator(
  context: TeamContext,
  port: OrchestratorPort,
): Promise<Orchestrator> {
  const orchestrator = new FeatureOrchestrator(context, port);
  await orchestrator.start();
  return orchestrator;
}

class FeatureOrchestrator implements Orchestrator {
  readonly #context: TeamContext;
  readonly #port: OrchestratorPort;
  readonly #gate: ReleaseGate;
  readonly #features = new FeatureBoard();
  readonly #reader: FeatureReader;
  readonly #dirty = new Set<FeatureProgress>();
  /** Features with tasks that are due and were not released yet; the first is served next. */
  readonly #held = new Set<FeatureProgress>();
  readonly #orphans = new Map<FeatureProgress, string>();
  readonly #lacking = new Map<FeatureProgress, Obstacle>();
  /** Tasks of cancelled features that were told so. */
  readonly #cancelling = new Map<FeatureProgress, Set<string>>();
  #working: Promise<void> | undefined;
  #again = false;
  #hasRoom = false;
  #closed = false;
  readonly #ends: (() => void)[] = [];
  #cancelTick: () => void = () => {};
  readonly #stop = new AbortController();

  constructor(context: TeamContext, port: OrchestratorPort) {
    this.#context = context;
    this.#port = port;
    this.#reader = new FeatureReader(context, this.#features, {
      changed: (progress) => {
        if (progress.feature === "completed") this.#forget(progress);
        else this.#dirty.add(progress);
      },
      orphaned: (progress, why) => void this.#orphans.set(progress, why),
      read: ({ type }) => {
        if (type === "task.claimed") this.#hasRoom ||= this.#held.size > 0;
      },
    });
    const { directory, board, settings } = port;
    this.#gate = new ReleaseGate({
      clock: context.clock,
      directory,
      waiting: (capability) => board.countPlanned(capability),
      maxWaiting: settings.maxWaiting,
      pressureMs: pressureBeats * context.heartbeatMs,
    });
  }

  async start(): Promise<void> {
    const { bus, store } = this.#context;
    if (this.#port.subscribes) {
      const heard = await bus.subscribe("agent.backpressure", ({ payload }) => {
        this.#gate.press((payload as { readonly agent: string }).agent);
      });
      this.#ends.push(() => void heard.close().catch(() => undefined));
    }
    this.#ends.push(store.watch(() => void this.caughtUp()));
    this.#arm();
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
    this.#cancelTick();
    for (const end of this.#ends.splice(0)) end();
    await this.#working;
  }

  /** What time brings, and what agents that come and go do. */
  #arm(): void {
    if (this.#closed) return;
    this.#cancelTick = this.#context.clock.after(this.#context.heartbeatMs, () => {
      this.#tick();
      void this.caughtUp().then(() => this.#arm());
    });
  }

  #tick(): void {
    const now = this.#context.clock.now();
    this.#hasRoom = true;
    this.#lookForAgents();
    for (const progress of this.#features.all()) {
      const isLate = progress.deadlineAt !== undefined && now >= progress.deadlineAt;
      const lacksAgent = progress.blocked?.kind === "agent" || this.#lacking.has(progress);
      if (isLate || lacksAgent) this.#dirty.add(progress);
    }
  }

  /** Which features wait for an agent that is not there. */
  #lookForAgents(): void {
    const { board, directory } = this.#port;
    const { clock, suspectAfterMs } = this.#context;
    this.#lacking.clear();
    for (const capability of board.capabilities()) {
      if (!board.hasClaimable(capability) || isOffered(directory, capability)) continue;
      let looked = 0;
      for (const { state, last } of board.claimable(capability)) {
        looked += 1;
        if (looked > lookedAtForAgents) break;
        const progress = this.#features.get(state.feature ?? "");
        if (!progress || this.#lacking.has(progress)) continue;
        if (clock.now() - last.timestamp < suspectAfterMs) continue;
        this.#lacking.set(progress, missingAgent(directory, state));
      }
    }
  }

  async #work(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#reader.read(() => this.#closed);
        this.#gate.begin();
        if (this.#hasRoom) for (const progress of this.#held) this.#dirty.add(progress);
        this.#hasRoom = false;
        for (const progress of [...this.#dirty]) {
          this.#dirty.delete(progress);
          await this.#decide(progress).catch((error: unknown) => {
            this.#dirty.add(progress);
            throw error;
          });
        }
      } catch (error) {
        if (this.#closed || isCadreError(error, "CLOSED")) return;
        this.#context.logger.warn("The orchestrator was interrupted; it tries again.", { error });
        await this.#context.clock.sleep(retryMs, this.#stop.signal).catch(() => undefined);
        this.#again = true;
      }
    } while (this.#again && !this.#closed);
  }

  #forget(progress: FeatureProgress): void {
    this.#features.forget(progress);
    this.#dirty.delete(progress);
    this.#held.delete(progress);
    this.#orphans.delete(progress);
    this.#lacking.delete(progress);
    this.#cancelling.delete(progress);
  }

  async #decide(progress: FeatureProgress): Promise<void> {
    if (this.#closed || progress.feature === "completed") return;
    if (progress.feature === "cancelled") return this.#cancelTasks(progress);
    if (await this.#isOrphan(progress)) return;
    if (needsPlan(progress) && (await this.#plan(progress))) return;
    if (progress.items.size > 0 && progress.completed === progress.items.size) {
      await this.#append(progress, "feature.completed", { tasks: progress.items.size });
      return;
    }
    const obstacle = obstacleOf(progress, this.#context.clock.now());
    if (obstacle) {
      if (progress.feature === "blocked" && standsYet(progress, this.#context.clock.now())) return;
      await this.#append(progress, "feature.blocked", { ...obstacle });
      return;
    }
    if (progress.blocked?.kind === "plan") return; // until it is patched
    if (progress.feature === "blocked" && progress.blocked?.kind !== "agent") {
      await this.#append(progress, "feature.resumed", { reason: "nothing is in its way any more" });
    }
    await this.#lookAtAgents(progress);
    await this.#release(progress);
  }

  /** A feature is cancelled with the task that waits for it. */
  async #isOrphan(progress: FeatureProgress): Promise<boolean> {
    const { parent, feature, id } = progress;
    let why = this.#orphans.get(progress);
    if (why === undefined && parent !== undefined && feature === "created") {
      // A handler that was left behind may have asked for it after its task had ended.
      const state = await this.#port.desk.get(parent);
      if (state && isFinal(state.status) && state.status !== "completed") {
        why = `the task that waits for it is ${state.status}`;
      }
    }
    if (why === undefined) return false;
    await cancelFeature(this.#context, id, why);
    this.#orphans.delete(progress);
    this.#again = true;
    return true;
  }

  async #cancelTasks(progress: FeatureProgress): Promise<void> {
    const reason = `its feature was cancelled: ${progress.cancelled ?? ""}`;
    const ids = [...progress.items.values()]
      .filter(({ name }) => progress.status.get(name) === "created")
      .map((item) => taskIdOfItem(progress, item));
    const { asked, answer, failure } = progress.planning;
    if (asked && answer === undefined && failure === undefined) {
      ids.push(plannedTaskId(progress.id, planningName, progress.planning.round + 1));
    }
    if (ids.length === 0) return this.#forget(progress);
    // The end of each comes with the log; each is asked for once.
    const told = this.#cancelling.get(progress) ?? new Set();
    this.#cancelling.set(progress, told);
    for (const id of ids) {
      if (!told.has(id) && (await this.#port.desk.cancel(id, reason))) told.add(id);
    }
  }

  /** Asks the planner, or takes its answer. Whether there is nothing else to do for now. */
  async #plan(progress: FeatureProgress): Promise<boolean> {
    const { planning } = progress;
    if (planning.answer !== undefined) {
      await takePlan(this.#context, progress.id);
      this.#again = true;
    } else if (!planning.asked) {
      await this.#create(progress, [planningTask(progress)]);
    } else {
      await this.#lookAtAgents(progress);
    }
    return true;
  }

  async #lookAtAgents(progress: FeatureProgress): Promise<void> {
    const lacking = this.#lacking.get(progress);
    const { blocked } = progress;
    if (lacking && progress.feature !== "blocked" && this.#isMissing(lacking)) {
      await this.#append(progress, "feature.blocked", { ...lacking });
    } else if (blocked?.kind === "agent" && !this.#isMissing(blocked)) {
      const reason = `an agent that offers "${blocked.capability}" is there`;
      await this.#append(progress, "feature.resumed", { reason });
    }
  }

  #isMissing({ capability = "", taskId = "" }: Obstacle): boolean {
    const task = this.#port.board.get(taskId);
    const waits = task !== undefined && isOpen(task.state.status);
    return waits && !isOffered(this.#port.directory, capability);
  }

  async #release(progress: FeatureProgress): Promise<void> {
    this.#held.delete(progress);
    if (progress.ready.size === 0) return;
    // What one feature releases leaves room for those that wait for it, too.
    const contenders = this.#held.size + 1;
    const shares = new Map<string, number>();
    const due: PlanItem[] = [];
    for (const item of readyItems(progress)) {
      const { capability } = item;
      let share = shares.get(capability);
      share ??= Math.ceil(Math.max(0, this.#gate.room(capability)) / contenders);
      shares.set(capability, share - 1);
      if (share <= 0) continue;
      this.#gate.release(capability);
      due.push(item);
    }
    if (due.length < progress.ready.size) this.#held.add(progress);
    if (due.length === 0) return;
    if (progress.feature === "created") await this.#append(progress, "feature.started", {});
    const requests = await this.#requests(progress, due);
    for (let start = 0; start < requests.length; start += createBatch) {
      const isDone = await this.#create(progress, requests.slice(start, start + createBatch));
      if (!isDone) return;
    }
  }

  /** False when the plan has changed meanwhile, or cannot be followed. */
  async #create(progress: FeatureProgress, requests: readonly TaskRequest[]): Promise<boolean> {
    const outcome = await createPlanned(this.#port.desk, progress, requests);
    if (outcome === "changed") {
      this.#again = true;
      this.#dirty.add(progress);
    } else if (outcome !== "made") {
      await this.#append(progress, "feature.blocked", { ...outcome });
    }
    return outcome === "made";
  }

  async #requests(
    progress: FeatureProgress,
    items: readonly PlanItem[],
  ): Promise<readonly TaskRequest[]> {
    const { assignment, score } = this.#port.settings;
    const permitted = scoreOfPermitted(this.#context, score, progress.tenant);
    const choice = new Assignment(this.#port.directory, assignment, permitted);
    const requests: TaskRequest[] = [];
    for (const item of items) {
      const { tenant, id: feature } = progress;
      const assignTo = choice.choose({
        capability: item.capability,
        task: item.name,
        feature,
        ...(tenant === undefined ? {} : { tenant }),
      });
      const input = await inputOf(progress, item, (id) => this.#port.desk.get(id));
      requests.push(plannedRequest(progress, item, input, assignTo));
    }
    return requests;
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
      if (progress.feature === "completed") this.#forget(progress);
    } catch (error) {
      // A replica was faster; its event comes with the next read.
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
      this.#again = true;
    }
  }
}
