/**
 * The simulator: a team of several processes, its store and its transport in one process, on a
 * virtual clock and a seeded scheduler, with faults at every port call. A failure is a seed: the
 * same seed runs the same way.
 */
import { CadreError } from "../core/errors.ts";
import { faultKinds, type Fault, type FaultKind, type FaultRates } from "./sim-faults.ts";
import type { ScheduledFault } from "./sim-faults.ts";
import { emptyCounts, type LogCounts } from "./sim-invariants.ts";
import type { SimulationOptions, SimulationResult, Violation } from "./sim-options.ts";
import { SimRun, type RunOutcome } from "./sim-run.ts";
import { shortSchedule } from "./sim-shorten.ts";
import { storyOf } from "./sim-story.ts";

const defaultShortenRuns = 200;
const shownFaults = 20;

/** What a failed simulation is known by. */
export interface SimulationFailure {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly faults: readonly Fault[];
  readonly schedule: readonly ScheduledFault[];
  readonly story: readonly string[];
}

/**
 * A run that broke an invariant, or did not end. The message holds the seed, a short schedule of
 * faults that it fails with too, and the story of what happened then.
 */
export class SimulationError extends Error {
  override readonly name: string = "SimulationError";
  // Not fields of the object: whoever prints the error sees the message, which says enough.
  readonly #failure: SimulationFailure;

  constructor(failure: SimulationFailure) {
    super(messageOf(failure));
    this.#failure = failure;
  }

  get seed(): number {
    return this.#failure.seed;
  }

  /** What does not hold, in the run of this seed. */
  get violations(): readonly Violation[] {
    return this.#failure.violations;
  }

  /** All faults of that run. */
  get faults(): readonly Fault[] {
    return this.#failure.faults;
  }

  /** As few faults as it takes: this schedule, without any chances, breaks the same invariant. */
  get schedule(): readonly ScheduledFault[] {
    return this.#failure.schedule;
  }

  /** What happened with that schedule. */
  get story(): readonly string[] {
    return this.#failure.story;
  }
}

/**
 * Runs one simulation to its end.
 *
 * @throws {SimulationError} when an invariant is broken or the run does not end
 */
export async function simulate<World = undefined>(
  options: SimulationOptions<World>,
): Promise<SimulationResult> {
  const seed = options.seed ?? seedOfEnvironment() ?? 1;
  const outcome = await new SimRun(seed, options).run();
  if (outcome.violations.length > 0) throw await failureOf(seed, options, outcome);
  return resultOf(seed, outcome);
}

function seedOfEnvironment(): number | undefined {
  const text = process.env["CADRE_SEED"];
  if (text === undefined || text === "") return undefined;
  const seed = Number(text);
  if (Number.isInteger(seed) && seed >= 0) return seed;
  const message = `CADRE_SEED is "${text}". Give a whole number.`;
  throw new CadreError("INVALID_OPTION", message, { option: "CADRE_SEED", value: text });
}

function resultOf(seed: number, outcome: RunOutcome): SimulationResult {
  const { counts, faults, moments, log, virtualMs, hash } = outcome;
  const faultCounts = emptyFaultCounts();
  for (const { kind } of faults) faultCounts[kind] += 1;
  return {
    ...counts,
    seed,
    virtualMs,
    crashes: moments.filter(({ what }) => what === "died").length,
    closes: moments.filter(({ what }) => what === "left").length,
    faults,
    faultCounts,
    trace: log.map(
      ({ event, stream, recordedAt }) =>
        `${recordedAt} ${event.source} ${event.type} ${stream?.split("/")[0] ?? "-"}`,
    ),
    hash,
  };
}

function emptyFaultCounts(): Record<FaultKind, number> {
  return Object.fromEntries(faultKinds.map((kind) => [kind, 0])) as Record<FaultKind, number>;
}

/** The rates without their chances: only what is scheduled happens. */
function withoutChances(rates: FaultRates = {}): FaultRates {
  const isChance = (key: string): boolean => faultKinds.some((kind) => kind === key);
  return Object.fromEntries(Object.entries(rates).filter(([key]) => !isChance(key)));
}

/** Runs it again and again with other faults, and tells of the fewest with which it breaks too. */
async function failureOf<World>(
  seed: number,
  options: SimulationOptions<World>,
  first: RunOutcome,
): Promise<SimulationError> {
  const broken = new Set(first.violations.map(({ invariant }) => invariant));
  const faults = withoutChances(options.faults);
  let told = first;
  const fails = async (schedule: readonly ScheduledFault[]): Promise<boolean> => {
    const outcome = await new SimRun(seed, { ...options, faults, schedule }).run();
    const isSame = outcome.violations.some(({ invariant }) => broken.has(invariant));
    if (isSame) told = outcome;
    return isSame;
  };
  const maxRuns = options.shortenRuns ?? defaultShortenRuns;
  const schedule = await shortSchedule(first.faults, fails, maxRuns);
  const { violations } = first;
  return new SimulationError({
    seed,
    violations,
    faults: first.faults,
    schedule,
    story: storyOf(told),
  });
}

function messageOf({ seed, violations, faults, schedule, story }: SimulationFailure): string {
  const names = new Set(violations.map(({ invariant }) => invariant)).size;
  const shown = schedule.slice(0, shownFaults);
  const more = schedule.length - shown.length;
  return [
    `Seed ${seed} broke ${names} invariants. Run it again with CADRE_SEED=${seed}.`,
    ...violations.map(({ invariant, message }) => `- ${invariant}: ${message}`),
    `It happened among ${faults.length} faults; ${few(schedule.length)} enough:`,
    ...shown.map((fault) => `  ${JSON.stringify(fault)},`),
    ...(more > 0 ? [`  … and ${more} more`] : []),
    "What happened with these:",
    ...story.map((line) => `  ${line}`),
  ].join("\n");
}

function few(count: number): string {
  return count === 1 ? "this one is" : `these ${count} are`;
}

/** What many runs counted, added up. */
export interface SimulationSum extends LogCounts {
  readonly runs: number;
  readonly crashes: number;
  readonly closes: number;
  readonly virtualMs: number;
  readonly faultCounts: Readonly<Record<FaultKind, number>>;
}

/**
 * Runs many seeds and adds up what they counted. Stops at the first that fails. With `CADRE_SEED`
 * set it runs that seed alone.
 *
 * @throws {SimulationError} for the first seed that breaks an invariant
 * @throws {CadreError} INVALID_OPTION, when `seeds` is no whole number above 0
 */
export async function simulateSeeds<World = undefined>(
  options: Omit<SimulationOptions<World>, "seed"> & {
    /** The first seed. @default 1 */
    readonly from?: number;
    readonly seeds: number;
  },
): Promise<SimulationSum> {
  const { from = 1, seeds, ...rest } = options;
  if (!Number.isInteger(seeds) || seeds < 1) {
    throw new CadreError("INVALID_OPTION", `seeds is ${seeds}. Give a whole number above 0.`, {
      option: "seeds",
      value: seeds,
    });
  }
  const only = seedOfEnvironment();
  const sum = { ...emptyCounts, runs: 0, crashes: 0, closes: 0, virtualMs: 0 };
  const faultCounts = emptyFaultCounts();
  const first = only ?? from;
  const last = only ?? from + seeds - 1;
  for (let seed = first; seed <= last; seed += 1) {
    const result = await simulate({ ...rest, seed });
    sum.runs += 1;
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) {
      if (key !== "runs") sum[key] += result[key];
    }
    for (const kind of faultKinds) faultCounts[kind] += result.faultCounts[kind];
  }
  return { ...sum, faultCounts };
}
