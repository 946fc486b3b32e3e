/**
 * The bridge to agents of older systems: they do tasks of ours, and we do tasks of theirs.
 *
 *   our store ──claim──▶ bridge ──TASK_ASSIGNED──▶ older topics ──▶ older agent
 *             ◀─result──        ◀─TASK_COMPLETED──              ◀──
 *
 * In the team each older agent is an agent like any other: it has a name, capabilities and a
 * capacity, and its lease is held by the bridge.
 */
import { CadreError } from "../../core/errors.ts";
import { systemClock, type Clock } from "../../core/clock.ts";
import {
  anything,
  checkOptions,
  oneOf,
  someFunction,
  someObject,
  someText,
  trueOrFalse,
  wholeNumber,
} from "../../core/options.ts";
import { secureRandom, type Random } from "../../core/random.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { Bus } from "../../bus/bus.ts";
import { guardOfBus } from "../../bus/guard-of-bus.ts";
import type { Identity } from "../../bus/identity/identity.ts";
import type { AnyAgent } from "../agent.ts";
import type { Cadre } from "../cadre.ts";
import { defineAgent } from "../define-agent.ts";
import type { TaskDefinition, TaskOptions } from "../task.ts";
import { LegacyDesk, type LegacyWording } from "./legacy-desk.ts";
import { LegacyEar } from "./legacy-ear.ts";
import { workByLegacy } from "./legacy-work.ts";

/** An agent of an older system. */
export interface LegacyAgent {
  /** As the older system knows it: what its events have as `source` or `agent_id`. */
  readonly name: string;
  /** Its name in the team. @default the name in lower case, with `-` for what no name may have */
  readonly as?: string;
  /** The tasks that it can do. */
  readonly does: readonly TaskDefinition[];
  /** Tasks at once. @default 1 */
  readonly capacity?: number;
  /**
   * Silence after which its task is offered again, in milliseconds: any event of the agent counts
   * as a sign. @default 90_000
   */
  readonly silentMs?: number;
}

/** Tasks of older programs that the team does. */
export interface LegacyTaking<Input = unknown> {
  readonly definition: TaskDefinition<Input>;
  /** Which TASK_CREATED. @default those whose `task_type` is the definition's name */
  readonly when?: (event: AgentEvent) => boolean;
  /** @default its `parameters`, `input` or `data`, else the payload */
  readonly input?: (event: AgentEvent) => Input;
  readonly options?: (event: AgentEvent) => Omit<TaskOptions, "id">;
}

/** A taking of any input, for lists. */
// What a definition takes and what `input` gives belong together, whatever they are.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyLegacyTaking = LegacyTaking<any>;

export interface LegacyBridgeOptions {
  /**
   * A bus over the older topics, without a registry: their payloads are not ours. Whoever made it
   * closes it.
   */
  readonly bus: Bus;
  readonly agents?: readonly LegacyAgent[];
  /**
   * Who claims in the older system: the bridge sends TASK_ASSIGNED to the agent, or it sends
   * TASK_CREATED and waits for the TASK_ASSIGNED in which an agent takes it. @default "assigned"
   */
  readonly claim?: "assigned" | "announced";
  /** Sends a TASK_CREATED before the first TASK_ASSIGNED of a task. @default false */
  readonly announces?: boolean;
  readonly takes?: readonly AnyLegacyTaking[];
  /**
   * Which tasks' events are told to the older side under their older names: those that it has
   * created, all, or none. @default "theirs"
   */
  readonly tells?: "theirs" | "all" | "none";
  readonly wording?: LegacyWording;
  /**
   * Signs in the team what the bridge says and what its agents do; other processes must trust it
   * with those names. @default the team's own key
   */
  readonly identity?: Identity;
  /** Name of the bridge, its groups included. @default "legacy-bridge" */
  readonly name?: string;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** A bridge as declared. */
export interface LegacyBridge {
  /** For `startCadre`. They take their first task when the bridge has been started. */
  readonly agents: readonly AnyAgent[];
  /** Listens to both sides, until it is closed. Close it before the team. */
  start(team: AnyCadre): Promise<RunningLegacyBridge>;
}

export interface RunningLegacyBridge {
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A team of any events. */
// Both go in and come out: no other type takes all.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyCadre = Cadre<any>;

const defaultSilentMs = 90_000; // three beats of the older systems' thirty seconds

/**
 * Declares a bridge to the agents and programs of an older system.
 *
 * @throws {CadreError} INVALID_OPTION
 */
export function legacyBridge(options: LegacyBridgeOptions): LegacyBridge {
  checkBridgeOptions(options);
  const { bus, agents = [], claim = "assigned", announces = false, wording = {} } = options;
  const { identity, name: bridge = "legacy-bridge" } = options;
  const desk = new LegacyDesk(bus, wording, announces);
  const names = new Map<string, string>();
  const definitions = agents.map((agent): AnyAgent => {
    checkAgent(agent);
    const name = agent.as ?? nameOf(agent.name);
    names.set(name, agent.name);
    const { silentMs = defaultSilentMs, capacity = 1 } = agent;
    const work = { agent: agent.name, bridge, silentMs, claim };
    let made: AnyAgent = defineAgent({ name, capacity, ...(identity ? { identity } : {}) });
    for (const task of agent.does) {
      made = made.does(task, (_input, ctx) => workByLegacy(ctx, desk, work));
    }
    return made;
  });
  return Object.freeze({
    agents: definitions,
    async start(team: AnyCadre): Promise<RunningLegacyBridge> {
      giveKey(team, bridge, identity);
      const ear = new LegacyEar({
        team,
        desk,
        names,
        takes: options.takes ?? [],
        tells: options.tells ?? "theirs",
        name: bridge,
        clock: options.clock ?? systemClock,
        random: options.random ?? secureRandom,
      });
      await ear.start();
      return { close: () => ear.close(), [Symbol.asyncDispose]: () => ear.close() };
    },
  });
}

/** @throws {CadreError} INVALID_OPTION, where all must sign, and the bridge cannot */
function giveKey({ bus }: AnyCadre, name: string, identity: Identity | undefined): void {
  const guard = guardOfBus(bus);
  if (identity) guard?.speakAs(name, identity);
  if (!guard || guard.canSign(name)) return;
  const message =
    `The team requires signatures, and the bridge "${name}" has no key. Give legacyBridge or ` +
    "startCadre an identity.";
  throw new CadreError("INVALID_OPTION", message, { option: "identity" });
}

function checkBridgeOptions(options: LegacyBridgeOptions): void {
  const list = { expected: "a list", accepts: Array.isArray };
  checkOptions("legacyBridge", options, {
    bus: someObject,
    agents: list,
    claim: oneOf("assigned", "announced"),
    announces: trueOrFalse,
    takes: list,
    tells: oneOf("theirs", "all", "none"),
    wording: someObject,
    identity: someObject,
    name: someText,
    clock: anything,
    random: anything,
  });
  if (options.bus === undefined) {
    const message = "legacyBridge needs a bus over the older topics.";
    throw new CadreError("INVALID_OPTION", message, { option: "bus" });
  }
  checkOptions("legacyBridge.wording", options.wording ?? {}, {
    describe: someFunction,
    result: someFunction,
    report: someFunction,
  });
}

function checkAgent(agent: LegacyAgent): void {
  checkOptions("legacyBridge.agents", agent, {
    name: someText,
    as: someText,
    does: { expected: "a list of tasks", accepts: Array.isArray },
    capacity: wholeNumber(1),
    silentMs: wholeNumber(1),
  });
}

/** A name that the team takes: "CoderAgent 2" is "coderagent-2". */
function nameOf(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]+/g, "-")
    .slice(0, 64);
}
