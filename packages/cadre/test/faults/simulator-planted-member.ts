/** Looks for one of the planted mistakes, seed after seed, and says what it has found. */
import {
  everyFault,
  scenarios,
  simulate,
  SimulationError,
  type ScheduledFault,
  type SimulationOptions,
} from "cadre/testing";

import {
  acksBeforeTheEffect,
  checkpointsApart,
  leasesWithoutFencing,
} from "../testing/sim-planted.ts";

/** What it is started with, as JSON. */
export interface Search {
  readonly mistake: "ack before the effect" | "lease without fencing" | "checkpoint apart";
  readonly maxSeeds: number;
  readonly shortenRuns: number;
}

/** What it says. Nothing when no seed fails. */
export interface Finding {
  readonly seed: number;
  readonly message: string;
  readonly faults: number;
  readonly schedule: readonly ScheduledFault[];
  /** Whether the short schedule alone, without any chance, breaks the same invariant. */
  readonly playsAgain: boolean;
}

const maxVirtualMs = 300_000; // what is lost never comes: no need to wait for it for long
const { clockSkewMs = 0, clockDrift = 0 } = everyFault;

async function failure<World>(
  options: SimulationOptions<World>,
): Promise<SimulationError | undefined> {
  try {
    await simulate({ maxVirtualMs, ...options });
    return undefined;
  } catch (error) {
    if (error instanceof SimulationError) return error;
    throw error;
  }
}

async function find<World>(
  options: SimulationOptions<World>,
  { maxSeeds, shortenRuns }: Search,
): Promise<Finding | undefined> {
  for (let seed = 1; seed <= maxSeeds; seed += 1) {
    const found = await failure({ ...options, faults: everyFault, seed, shortenRuns });
    if (!found) continue;
    const { message, faults, schedule, violations } = found;
    const rates = { clockSkewMs, clockDrift };
    const again = await failure({ ...options, faults: rates, schedule, seed, shortenRuns: 0 });
    const before = new Set(violations.map(({ invariant }) => invariant));
    const playsAgain = again?.violations.some(({ invariant }) => before.has(invariant)) ?? false;
    return { seed, message, faults: faults.length, schedule, playsAgain };
  }
  return undefined;
}

function search(asked: Search): Promise<Finding | undefined> {
  switch (asked.mistake) {
    case "ack before the effect":
      return find({ ...scenarios.relay, transport: acksBeforeTheEffect }, asked);
    case "lease without fencing":
      return find({ ...scenarios.steps, store: leasesWithoutFencing }, asked);
    case "checkpoint apart":
      // With several processes it takes no fault at all: they get in each other's way.
      return find({ ...scenarios.projection, processes: ["a"], store: checkpointsApart }, asked);
  }
}

const finding = await search(JSON.parse(process.argv[2] ?? "{}") as Search);
if (process.send) process.send(finding ?? "nothing");
else process.stdout.write(`${finding?.message ?? "nothing"}\n`);
