/** Runs a range of seeds of one scenario and tells its parent what they counted. */
import { everyFault, scenarios, simulateSeeds, type SimulationSum } from "cadre/testing";

/** What it is started with, as JSON. */
export interface SeedRange {
  readonly scenario: keyof typeof scenarios;
  readonly from: number;
  readonly seeds: number;
}

/** What it says at its end. */
export type SeedAnswer =
  | { readonly ok: true; readonly sum: SimulationSum; readonly cpuMs: number }
  | { readonly ok: false; readonly message: string };

const { scenario, from, seeds } = JSON.parse(process.argv[2] ?? "{}") as SeedRange;

// The scenarios differ in their worlds, which is nothing to whoever only runs them.
async function run(): Promise<SimulationSum> {
  const range = { from, seeds, faults: everyFault };
  switch (scenario) {
    case "tasks":
      return simulateSeeds({ ...scenarios.tasks, ...range });
    case "orchestration":
      return simulateSeeds({ ...scenarios.orchestration, ...range });
    case "steps":
      return simulateSeeds({ ...scenarios.steps, ...range });
    case "proposals":
      return simulateSeeds({ ...scenarios.proposals, ...range });
    case "sagas":
      return simulateSeeds({ ...scenarios.sagas, ...range });
    case "detection":
      return simulateSeeds({ ...scenarios.detection, ...range });
    default:
      return simulateSeeds({ ...scenarios[scenario], ...range });
  }
}

async function answer(): Promise<SeedAnswer> {
  try {
    const sum = await run();
    const { user, system } = process.cpuUsage();
    return { ok: true, sum, cpuMs: (user + system) / 1_000 };
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
}

const said = await answer();
if (process.send) process.send(said);
else process.stdout.write(`${said.ok ? JSON.stringify(said) : said.message}\n`);
