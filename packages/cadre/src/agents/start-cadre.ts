/**
 * Starts a team.
 *
 *   store ─▶ bus ─▶ all groups declared ─▶ board reads the log ─▶ presence ─▶ workers ─▶ listeners
 *         ─▶ relay ─▶ orchestrator ─▶ sweeper ─▶ schedules
 *
 * Closing goes the other way: nothing new, running work ends or is given back, the agents leave,
 * then bus and store.
 */
import { createBus } from "../bus/create-bus.ts";
import { guardOf } from "../bus/guard-parts.ts";
import type { Bus } from "../bus/bus.ts";
import type { Transport } from "../bus/transport.ts";
import type { WithBuiltinEvents } from "../core/builtin/registry.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { CadreError } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import {
  anything,
  checkOptions,
  oneOf,
  someObject,
  someText,
  trueOrFalse,
  wholeNumber,
} from "../core/options.ts";
import { secureRandom } from "../core/random.ts";
import type { EventRegistry } from "../core/registry.ts";
import { storeUnitOfWork } from "../store/unit-of-work.ts";
import type { AgentDefinition } from "./agent.ts";
import type { Cadre, CadreOptions } from "./cadre.ts";
import { keepApart } from "./large-payloads.ts";
import { startUpkeep } from "./log-upkeep.ts";
import { SharedRateLimits } from "./health/rate-limits.ts";
import { checkHealth, timingOf } from "./health/health-options.ts";
import { startArchive, type Archive } from "../outbox/archive.ts";
import { withArchive } from "../outbox/archive-transport.ts";
import { teamModels } from "./models/team-models.ts";
import { openStore, openTransport, type OpenContext, type OpenedStore } from "./open-url.ts";
import { someShares } from "./orchestration/fair-queue.ts";
import { assertPollable, pollingStore, pollingTransport } from "./orchestration/polling.ts";
import { orchestratorSettings } from "./orchestration/orchestrator-options.ts";
import { RunningTeam, type TeamParts } from "./running-team.ts";
import type { TeamContext } from "./team-context.ts";
import { teamRegistry } from "./team-registry.ts";
import { withTrust } from "./trust/gate.ts";
import { teamGuarding } from "./trust/team-guarding.ts";

const defaults = { name: "cadre", presence: "standard", pollEveryMs: 1_000 } as const;

/**
 * Starts the agents of a team on a store and a bus, and resolves when all of them hear and work.
 *
 * Several processes may start teams on one store: their agents share the work. `close` gives back
 * what runs; a process that is killed loses nothing, and its tasks are offered again when its lease
 * has run out, or at once when it is known to be gone.
 *
 * @throws {CadreError} INVALID_OPTION, for an unknown option, an impossible value, or two agents of
 * one name
 * @throws {CadreError} STORE_REQUIRED, when a bus was given that is no log, and no store
 */
export function startCadre<Own extends object>(
  options: CadreOptions<Own> & { readonly events: EventRegistry<Own> },
): Promise<Cadre<WithBuiltinEvents<Own>>>;
export function startCadre(options?: CadreOptions): Promise<Cadre>;
export async function startCadre(options: CadreOptions = {}): Promise<Cadre> {
  checkCadreOptions(options);
  const clock = options.clock ?? systemClock;
  const random = options.random ?? secureRandom;
  const logger = options.logger ?? silentLogger;
  const opened = polled(await openHomes(options, { clock, random, logger }), options, clock);
  let team: RunningTeam;
  try {
    team = makeTeam(options, opened, { clock, random, logger });
  } catch (error) {
    await opened.close();
    throw error;
  }
  try {
    await team.start();
  } catch (error) {
    await team.close({ deadlineMs: 0 });
    throw error;
  }
  return team;
}

/** The homes as the mode says: watched, or looked at in intervals. */
function polled(homes: Homes, options: CadreOptions, clock: Clock): Homes {
  if (options.mode !== "polling") return homes;
  const polling = { clock, everyMs: options.pollEveryMs ?? defaults.pollEveryMs };
  const store = pollingStore(homes.store, polling);
  return { ...homes, store, transport: pollingTransport(homes.transport, polling) };
}

/** Puts the parts together; nothing runs yet. @throws {CadreError} for an agent's bad pattern */
function makeTeam(options: CadreOptions, opened: Homes, host: OpenContext): RunningTeam {
  const { clock, random, logger } = host;
  const events = teamRegistry(options);
  const name = options.name ?? defaults.name;
  const { transport, store } = opened;
  const sameLog = isOneLog(opened);
  const guarding = teamGuarding(options, name, store, host);
  const bus: Bus = createBus({
    transport,
    events,
    source: name,
    clock,
    random,
    logger,
    ...guarding,
    ...(sameLog ? {} : { unitOfWork: storeUnitOfWork(store) }),
    onCritical: () => {
      team.close().catch((error: unknown) => {
        logger.error("The team did not close well.", { error });
      });
    },
  });
  const limits = new SharedRateLimits({ store, clock, random }, options.limits);
  const timing = timingOf(options);
  const base: TeamContext = {
    name,
    incarnation: random.id(clock.now()),
    store,
    bus,
    sameLog,
    clock,
    random,
    logger,
    ...timing,
    limits,
    models: teamModels({ store, clock, random, limits }, options.models, options.budgets),
    guard: guardOf(guarding, name, clock, guarding.onViolation ?? (() => {})),
    ...(options.weigh === undefined ? {} : { weigh: options.weigh }),
    ...(options.strict === undefined ? {} : { strict: options.strict }),
    ...(options.markEvery === undefined ? {} : { markEvery: options.markEvery }),
  };
  const context = withTrust(base, options);
  const team = new RunningTeam(context, {
    ...chosenParts(options),
    registry: events,
    relays: !sameLog && (options.relay ?? true),
    orchestrator:
      options.orchestrator === false
        ? undefined
        : orchestratorSettings(options.orchestration, context),
    limits,
    closeHomes: async () => {
      await upkeep.close();
      await opened.close();
    },
  });
  const upkeep = startUpkeep(options, store, host);
  return team;
}

/** What the options say, or the presets. */
function chosenParts(options: CadreOptions): ChosenParts {
  return {
    agents: options.agents ?? [],
    subscribes: options.mode !== "polling",
    shares: options.shares ?? {},
    expectations: options.expectations ?? [],
    stranded: options.stranded ?? "warn",
    people: options.people ?? [],
    health: options.health ?? {},
  };
}

/** A bus in one database beside a store in another is no one log, although both could be. */
function isOneLog({ store, transport: { unitOfWork } }: Homes): boolean {
  if (unitOfWork === undefined) return false;
  const isTold = unitOfWork.log !== undefined && store.log !== undefined;
  return !isTold || unitOfWork.log === store.log;
}

type ChosenParts = Pick<
  TeamParts,
  "agents" | "subscribes" | "shares" | "expectations" | "stranded" | "people" | "health"
>;

interface Homes {
  readonly store: OpenedStore["store"];
  readonly transport: NonNullable<OpenedStore["transport"]>;
  /** Closes what was opened here; what the user handed in stays open. */
  close(): Promise<void>;
}

async function openHomes(options: CadreOptions, context: OpenContext): Promise<Homes> {
  const given = options.store;
  if (given === undefined && options.bus !== undefined && options.bus !== "memory:") {
    throw new CadreError(
      "STORE_REQUIRED",
      "Agents keep their tasks in an event store. Give one beside the bus, such as " +
        'store: "sqlite:./team.db".',
      { what: "startCadre" },
    );
  }
  const home: OpenedStore =
    given === undefined || typeof given === "string"
      ? await openStore(given ?? "memory:", context)
      : { store: given, close: () => Promise.resolve() };
  let ours: Transport | undefined;
  let archive: Archive | undefined;
  const close = async (): Promise<void> => {
    await archive?.close();
    await ours?.close();
    await home.close();
  };
  try {
    // The same URL twice is one log, opened once.
    const same = options.bus === undefined || options.bus === given;
    const bus = (same ? home.transport : options.bus) ?? "memory:";
    const transport = typeof bus === "string" ? (ours = await openTransport(bus, context)) : bus;
    const carriers = { store: home.store, transport };
    const { largePayloads } = options;
    const kept = largePayloads ? keepApart(carriers, largePayloads, context.clock) : carriers;
    if (!options.archive) return { ...kept, close };
    const chosen = options.archive === true ? {} : options.archive;
    archive = await startArchive({ ...kept, ...context, ...chosen });
    return { store: kept.store, transport: withArchive(kept.transport, kept.store), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function checkCadreOptions(options: CadreOptions): void {
  checkOptions("startCadre", options, {
    agents: { expected: "a list of agents", accepts: Array.isArray },
    store: anything,
    bus: anything,
    events: anything,
    orchestrator: trueOrFalse,
    orchestration: someObject,
    expectations: { expected: "a list of expectations", accepts: Array.isArray },
    mode: oneOf("subscribed", "polling"),
    pollEveryMs: wholeNumber(1),
    shares: someShares,
    relay: trueOrFalse,
    archive: {
      expected: "true, false or an object",
      accepts: (value) => trueOrFalse.accepts(value) || someObject.accepts(value),
    },
    audit: anything,
    retention: anything,
    largePayloads: someObject,
    stranded: oneOf("warn", "refuse"),
    markEvery: wholeNumber(0),
    people: { expected: "a list of people", accepts: Array.isArray },
    weigh: anything,
    presence: oneOf("fast", "standard", "relaxed"),
    health: someObject,
    limits: someObject,
    identity: someObject,
    signatures: someObject,
    permissions: someObject,
    trust: {
      expected: "true, false or an object",
      accepts: (value) => trueOrFalse.accepts(value) || someObject.accepts(value),
    },
    models: someObject,
    budgets: someObject,
    heartbeatMs: wholeNumber(1),
    suspectAfterMs: wholeNumber(1),
    leaseMs: wholeNumber(1),
    strict: anything,
    clock: anything,
    random: anything,
    logger: anything,
    name: someText,
  });
  if (options.mode === "polling") assertPollable(options.agents ?? []);
  checkNames(options.agents ?? []);
  checkHealth(options.health ?? {});
  const { heartbeatMs, leaseMs } = timingOf(options);
  if (leaseMs < 2 * heartbeatMs) {
    const message =
      `leaseMs is ${leaseMs} and heartbeatMs ${heartbeatMs}. ` +
      "A lease must outlast a missed heartbeat: give at least twice as much.";
    throw new CadreError("INVALID_OPTION", message, { option: "leaseMs", value: leaseMs });
  }
}

function checkNames(agents: NonNullable<CadreOptions["agents"]>): void {
  const names = new Set<string>();
  for (const { name } of agents as readonly Pick<AgentDefinition, "name">[]) {
    if (names.has(name)) {
      throw new CadreError(
        "INVALID_OPTION",
        `Two agents of the team are named "${name}". Give each a name of its own.`,
        {
          option: "agents",
          value: name,
        },
      );
    }
    names.add(name);
  }
}
