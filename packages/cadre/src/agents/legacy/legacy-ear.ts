/**
 * What the bridge hears, on both sides.
 *
 *   older topics   every event           a sign of life of its agent (broadcast: soft state)
 *                  TASK_ASSIGNED         a claim of a task that the bridge has announced
 *                  TASK_COMPLETED/FAILED a result: handed to the task that waits for it, or late
 *                  TASK_CREATED          a task of theirs
 *   our bus        task.#                told on under the older names
 *
 * All but the signs of life come through durable groups, and are handed on under ids that follow
 * from theirs: what comes twice changes nothing.
 */
import { CadreError, isCadreError, TerminalError } from "../../core/errors.ts";
import type { Clock } from "../../core/clock.ts";
import { createEvent, type AgentEvent } from "../../core/event.ts";
import type { Random } from "../../core/random.ts";
import { guardOfBus } from "../../bus/guard-of-bus.ts";
import type { Subscription } from "../../bus/subscription.ts";
import type { SagaState } from "../saga-desk.ts";
import { isFinal, taskStream } from "../task-fold.ts";
import type { AnyCadre, AnyLegacyTaking } from "./legacy-bridge.ts";
import type { LegacyDesk } from "./legacy-desk.ts";
import { heardTypes, type Assignment } from "./legacy-work.ts";
import {
  foreignTaskId,
  isForeign,
  membersOf,
  tellTask,
  wireIdOf,
  type LegacyReport,
} from "./legacy-words.ts";

export interface LegacyEarPort {
  readonly team: AnyCadre;
  readonly desk: LegacyDesk;
  /** Names in the older system, by those in the team. */
  readonly names: ReadonlyMap<string, string>;
  readonly takes: readonly AnyLegacyTaking[];
  readonly tells: "theirs" | "all" | "none";
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
}

/** What is told on, and as what. */
const toldTypes: Readonly<Record<string, string>> = {
  "task.created": "task.created",
  "task.claimed": "task.assigned",
  "task.started": "task.started",
  "task.progress": "task.progress",
  "task.completed": "task.completed",
  "task.failed": "task.failed",
  "task.cancelled": "task.cancelled",
};

const retry = { maxAttempts: 20 }; // a result that is lost costs the work again

/** One round of a task, as its journal says. */
interface Round extends Partial<Assignment> {
  readonly round: number;
  readonly isOver: boolean;
}

export class LegacyEar {
  readonly #port: LegacyEarPort;
  readonly #subscriptions: Subscription[] = [];

  constructor(port: LegacyEarPort) {
    this.#port = port;
  }

  async start(): Promise<void> {
    const { team, desk, tells, name, clock } = this.#port;
    if (desk.bus === team.bus) {
      const message =
        "The older topics need a bus of their own: what older programs say does not fit the " +
        "team's registry. Make one with createBus({ transport }).";
      throw new CadreError("INVALID_OPTION", message, { option: "bus" });
    }
    const { bus } = desk;
    this.#subscriptions.push(await bus.subscribe("#", (event) => this.#sign(event)));
    this.#subscriptions.push(
      await bus.subscribe(
        "task.completed",
        { group: name, also: ["task.failed", "task.assigned", "task.created"], retry },
        (event) => this.#hear(event),
      ),
    );
    if (tells !== "none") {
      this.#subscriptions.push(
        await team.bus.subscribe("task.*", { group: `${name}.tells`, retry }, (event: AgentEvent) =>
          this.#tell(event),
        ),
      );
    }
    desk.start(() => clock.monotonic());
  }

  async close(): Promise<void> {
    const open = this.#subscriptions.splice(0);
    await Promise.all(open.map((subscription) => subscription.close()));
  }

  #sign(event: AgentEvent): void {
    const { desk } = this.#port;
    if (event.source !== desk.bus.source) desk.hear(event);
  }

  async #hear(event: AgentEvent): Promise<void> {
    const { desk } = this.#port;
    if (event.source === desk.bus.source) return;
    if (event.type === "task.created") return this.#take(event);
    const report = desk.report(event);
    const saga = report.wireId === undefined ? undefined : await this.#find(report.wireId);
    if (!saga) return;
    const rounds = roundsOf(saga);
    const current = rounds.at(-1);
    if (!current) return; // not the bridge's work
    if (event.type === "task.assigned") return this.#claim(event, saga, current, report);
    const outcome = event.type === "task.completed" ? "completed" : "failed";
    const fits =
      !current.isOver &&
      !isFinal(saga.task.status) &&
      (current.agent ?? report.agent) === report.agent &&
      (report.assignment ?? current.round) === current.round;
    if (fits) return this.#handOn(event, saga, { report, round: current.round, outcome });
    if (!isRepeated(saga, current, report, outcome)) {
      await this.#reject(event, saga, { rounds, report, outcome });
    }
  }

  /** The task that the older side knows under the id. */
  async #find(wireId: string): Promise<SagaState | undefined> {
    const { sagas } = this.#port.team;
    return (await sagas.get(wireId)) ?? (await sagas.get(foreignTaskId(wireId)));
  }

  async #claim(
    event: AgentEvent,
    saga: SagaState,
    current: Round,
    { agent }: LegacyReport,
  ): Promise<void> {
    if (current.agent !== null || current.isOver || isFinal(saga.task.status)) return;
    await this.#publish(event, heardTypes.claim, saga, { agent, assignment: current.round });
  }

  async #handOn(
    event: AgentEvent,
    saga: SagaState,
    heard: { readonly report: LegacyReport; readonly round: number; readonly outcome: string },
  ): Promise<void> {
    const { report, round, outcome } = heard;
    const said =
      outcome === "completed"
        ? { result: this.#port.desk.outputOf(event) }
        : membersOf(event.payload);
    const payload = { ...said, agent: report.agent, assignment: round, outcome };
    await this.#publish(event, heardTypes.result, saga, payload);
  }

  async #publish(event: AgentEvent, type: string, saga: SagaState, said: object): Promise<void> {
    const { team, name } = this.#port;
    const { id, correlationId } = saga.task;
    const options = { id: `${event.id}.heard`, source: name, correlationId };
    await once(team.bus.publish(type, { ...said, taskId: id }, options));
  }

  /** A result of an agent that has lost the task: on record, and nothing else. */
  async #reject(
    event: AgentEvent,
    { task }: SagaState,
    late: {
      readonly rounds: readonly Round[];
      readonly report: LegacyReport;
      readonly outcome: string;
    },
  ): Promise<void> {
    const { team, clock, random, name } = this.#port;
    const { agent, assignment } = late.report;
    const its = late.rounds.findLast(
      (each) => (assignment ?? each.round) === each.round && (each.agent ?? agent) === agent,
    );
    const epoch = its?.epoch ?? task.epoch;
    const rejected = createEvent(
      { clock, random, source: name },
      "task.result_rejected",
      {
        taskId: task.id,
        agent,
        epoch,
        currentEpoch: task.epoch,
        outcome: late.outcome,
        reason: `the lease of epoch ${epoch} has ended`,
      },
      { id: `${event.id}.rejected`, correlationId: task.correlationId },
    );
    const stream = taskStream(task.id);
    const signed = guardOfBus(team.bus)?.sealFor(rejected) ?? rejected;
    const appends = [{ stream, expectedVersion: "any" as const, events: [signed] }];
    await once(team.store.commit({ appends }));
  }

  /** A task of theirs becomes one of ours: one, however often it is said. */
  async #take(event: AgentEvent): Promise<void> {
    const { team, takes, desk } = this.#port;
    const taking = takes.find(({ when, definition }) =>
      when ? when(event) : membersOf(event.payload)["task_type"] === definition.name,
    );
    if (!taking) return;
    const { definition, input = inputOf, options } = taking;
    const id = foreignTaskId(desk.report(event).wireId ?? event.id);
    try {
      await team.tasks.create(definition, input(event), { ...options?.(event), id });
    } catch (error) {
      if (!isCadreError(error, "INVALID_PAYLOAD")) throw error;
      throw new TerminalError(error.message, { cause: error });
    }
  }

  async #tell(event: AgentEvent): Promise<void> {
    const { desk, tells, names } = this.#port;
    const { taskId, agent } = membersOf(event.payload);
    const type = toldTypes[event.type];
    if (type === undefined || typeof taskId !== "string") return;
    const isTheirs = isForeign(taskId);
    if (tells === "theirs" ? !isTheirs : isTheirs && type === "task.created") return;
    // What an older agent does it has said itself.
    if (typeof agent === "string" && names.has(agent)) return;
    const { correlationId } = event.metadata;
    const wireId = wireIdOf(taskId);
    const options = { id: event.id, correlationId, key: wireId };
    if (tells === "theirs" && type === "task.created") return;
    await once(desk.bus.publish(type, tellTask(event, wireId), options));
  }
}

/** The rounds that a task's journal has, the first one first. */
function roundsOf({ steps }: SagaState): readonly Round[] {
  const rounds: Round[] = [];
  const isDone = (name: string): boolean =>
    steps.some((step) => step.name === name && step.status === "done");
  for (const { name, status, result } of steps) {
    const round = Number(/^assign (\d+)$/.exec(name)?.[1] ?? 0);
    if (round === 0) continue;
    const isOver = isDone(`lapsed ${round}`) || isDone(`failed ${round}`);
    // Without its receipt it may have been sent; who has it then says so.
    const known = status === "done" ? (result as unknown as Assignment) : {};
    rounds.push({ round, isOver, ...known });
  }
  return rounds.toSorted((a, b) => a.round - b.round);
}

/** Whether the agent says again what has been heard of it. */
function isRepeated(
  { task, steps }: SagaState,
  { round, agent }: Round,
  report: LegacyReport,
  outcome: string,
): boolean {
  const isIts = (agent ?? report.agent) === report.agent && (report.assignment ?? round) === round;
  if (!isIts) return false;
  if (outcome === "completed") return task.status === "completed";
  return steps.some(({ name }) => name === `failed ${round}`);
}

function inputOf(event: AgentEvent): unknown {
  const members = membersOf(event.payload);
  return members["parameters"] ?? members["input"] ?? members["data"] ?? event.payload;
}

/** What was written before is written. */
async function once(writing: Promise<unknown>): Promise<void> {
  try {
    await writing;
  } catch (error) {
    if (!isCadreError(error, "DUPLICATE_ID")) throw error;
  }
}
