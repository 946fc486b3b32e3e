import { type } from "cadre";
import { defineAgent, defineSaga, startCadre as startTeam } from "cadre/agents";
import { randomUUID } from "node:crypto";
import { makeDatabase, numberOf, servePostgres } from "../postgres-cluster.ts";
import { check, percentile, type Figures, type Row, type Running } from "../row.ts";

const inFlight = 100;
const counts: Readonly<Record<string, number>> = { "100 in flight": 500, "one at a time": 60 };

/** Runs one saga from its request to its result: a step doubles `n`, the next one adds 1. */
type RunSaga = (n: number) => Promise<number>;

interface Contestant {
  readonly run: RunSaga;
  /** How many of their steps are recorded in the database. */
  readonly recordedSteps: () => Promise<number>;
  readonly close: () => Promise<void>;
}

function running(scenario: string, { run, recordedSteps, close }: Contestant): Running {
  const count = counts[scenario]!;
  const lanes = scenario === "100 in flight" ? inFlight : 1;
  let total = 0;
  return {
    async round(): Promise<Figures> {
      const times: number[] = [];
      let next = 0;
      const lane = async (): Promise<void> => {
        while (next < count) {
          const n = next++;
          const start = performance.now();
          check("result", await run(n), 2 * n + 1);
          times.push(performance.now() - start);
        }
      };
      const start = performance.now();
      await Promise.all(Array.from({ length: lanes }, lane));
      const rate = (count * 1_000) / (performance.now() - start);
      total += count;
      check("sagas", times.length, count);
      check("recorded steps", await recordedSteps(), 2 * total);
      return { perSecond: rate, p50Us: percentile(times, 0.5) * 1_000 };
    },
    close,
  };
}

async function startCadre(scenario: string): Promise<Running> {
  const Twice = defineSaga({ name: "twice", input: type<{ n: number }>() }, (saga) =>
    saga
      .step("double", ({ input }) => 2 * input.n)
      .step("add", ({ results }) => results.double + 1)
      .returns(({ results }) => results.add),
  );
  const url = await makeDatabase();
  const worker = defineAgent({ name: "worker", capacity: inFlight }).does(Twice);
  const team = await startTeam({ agents: [worker], store: url });
  return running(scenario, {
    run: async (n) => (await team.sagas.start(Twice, { n }, { key: randomUUID() })).result(),
    recordedSteps: () =>
      numberOf(url, "SELECT count(*) FROM cadre.events WHERE type = 'step.receipt'"),
    close: async () => void (await team.close()),
  });
}

async function startDbos(scenario: string): Promise<Running> {
  const { DBOS } = await import("@dbos-inc/dbos-sdk");
  const url = await makeDatabase();
  DBOS.setConfig({ name: "bench", systemDatabaseUrl: url, logLevel: "error" });
  const twice = DBOS.registerWorkflow(
    async (n: number): Promise<number> => {
      const double = await DBOS.runStep(async () => 2 * n, { name: "double" });
      return DBOS.runStep(async () => double + 1, { name: "add" });
    },
    { name: "twice" },
  );
  await DBOS.launch();
  return running(scenario, {
    run: async (n) => (await DBOS.startWorkflow(twice)(n)).getResult(),
    recordedSteps: () => numberOf(url, "SELECT count(*) FROM dbos.operation_outputs"),
    close: () => DBOS.shutdown(),
  });
}

const scenarios = Object.keys(counts);

export const row: Row = {
  title: "a saga of two steps on PostgreSQL, from its request to its result",
  serve: servePostgres,
  contenders: {
    cadre: { scenarios, start: startCadre },
    dbos: { needs: "@dbos-inc/dbos-sdk", scenarios, start: startDbos },
  },
  goals: scenarios.map((scenario) => ({
    what: `${scenario}, against DBOS`,
    of: ["cadre", scenario, "perSecond"],
    over: ["dbos", scenario, "perSecond"],
    atLeast: 3,
  })),
};
