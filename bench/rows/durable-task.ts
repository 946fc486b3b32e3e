import { type } from "cadre";
import { defineAgent, defineTask, startCadre as startTeam } from "cadre/agents";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { scratchFolder } from "../load.ts";
import { check, percentile, type Figures, type Row, type Running } from "../row.ts";

const inFlight = 100;
const counts: Readonly<Record<string, number>> = { "100 in flight": 1_000, "one at a time": 200 };

/** Runs one task from its request to its result: `n` goes in, a step doubles it. */
type RunTask = (n: number) => Promise<number>;

function running(scenario: string, run: RunTask, slower: number, close: () => Promise<void>) {
  const count = counts[scenario]! / slower;
  return {
    async round(): Promise<Figures> {
      const times: number[] = [];
      let next = 0;
      const lane = async (): Promise<void> => {
        while (next < count) {
          const n = next++;
          const start = performance.now();
          check("result", await run(n), 2 * n);
          times.push(performance.now() - start);
        }
      };
      const start = performance.now();
      const lanes = scenario === "100 in flight" ? inFlight : 1;
      await Promise.all(Array.from({ length: lanes }, lane));
      check("tasks", times.length, count);
      const rate = (count * 1_000) / (performance.now() - start);
      return { perSecond: rate, p50Us: percentile(times, 0.5) * 1_000 };
    },
    close,
  } satisfies Running;
}

async function startCadre(scenario: string): Promise<Running> {
  const Double = defineTask({
    name: "double",
    input: type<{ n: number }>(),
    output: type<number>(),
  });
  let audited = 0;
  const worker = defineAgent({ name: "worker", capacity: inFlight }).does(Double, ({ n }, ctx) =>
    ctx.step("double", () => 2 * n),
  );
  const team = await startTeam({
    agents: [worker],
    store: `sqlite:${join(scratchFolder(), "cadre.db")}`,
  });
  await team.bus.subscribe("task.#", () => void (audited += 1));
  const task: RunTask = async (n) => (await team.tasks.create(Double, { n })).result();
  return running(scenario, task, 1, async () => {
    if (audited === 0) process.stderr.write("the audit heard nothing\n");
    await team.close();
  });
}

/**
 * What LangGraph's saver calls of better-sqlite3, on `node:sqlite`: nothing has to be compiled.
 */
function driverOfNode(path: string) {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA synchronous = FULL");
  // better-sqlite3 takes undefined for NULL.
  const toNull = (values: readonly (SQLInputValue | undefined)[]): SQLInputValue[] =>
    values.map((value) => value ?? null);
  return {
    exec: (sql: string): void => db.exec(sql),
    pragma: (text: string): void => db.exec(`PRAGMA ${text}`),
    close: (): void => db.close(),
    prepare(sql: string) {
      const statement = db.prepare(sql);
      return {
        run: (...values: (SQLInputValue | undefined)[]) => statement.run(...toNull(values)),
        get: (...values: (SQLInputValue | undefined)[]) => statement.get(...toNull(values)),
        all: (...values: (SQLInputValue | undefined)[]) => statement.all(...toNull(values)),
      };
    },
    transaction<Rows>(write: (rows: Rows) => void): (rows: Rows) => void {
      return (rows) => {
        db.exec("BEGIN");
        write(rows);
        db.exec("COMMIT");
      };
    },
  };
}

async function startLangGraph(scenario: string): Promise<Running> {
  const { Annotation, END, START, StateGraph } = await import("@langchain/langgraph");
  const { SqliteSaver } = await import("@langchain/langgraph-checkpoint-sqlite");
  const db = driverOfNode(join(scratchFolder(), "langgraph.db"));
  const saver = new SqliteSaver(db);
  const state = Annotation.Root({ n: Annotation<number>(), doubled: Annotation<number>() });
  const graph = new StateGraph(state)
    .addNode("double", ({ n }) => ({ doubled: 2 * n }))
    .addEdge(START, "double")
    .addEdge("double", END)
    .compile({ checkpointer: saver });
  let thread = 0;
  const task: RunTask = async (n) => {
    thread += 1;
    const config = { configurable: { thread_id: `t${thread}` } };
    return (await graph.invoke({ n, doubled: 0 }, config)).doubled;
  };
  return running(scenario, task, 2, async () => db.close());
}

async function startBullmq(scenario: string): Promise<Running> {
  const { Queue, QueueEvents, Worker } = await import("bullmq");
  const folder = scratchFolder();
  const path = join(folder, "redis.sock");
  const server = spawn("redis-server", [
    ...["--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""],
    ...["--appendonly", "yes", "--appendfsync", "always"],
  ]);
  process.on("exit", () => void server.kill("SIGKILL"));
  await new Promise<void>((resolve) => {
    let said = "";
    server.stdout.on("data", (text: Buffer) => {
      said += String(text);
      if (/accept connections/.test(said)) resolve();
    });
  });
  const options = { connection: { path, maxRetriesPerRequest: null } };
  const queue = new Queue<{ n: number }, number>("tasks", options);
  const events = new QueueEvents("tasks", options);
  const work = async (job: { readonly data: { readonly n: number } }): Promise<number> =>
    2 * job.data.n;
  const worker = new Worker("tasks", work, { ...options, concurrency: inFlight });
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()]);
  const task: RunTask = async (n) => (await queue.add("double", { n })).waitUntilFinished(events);
  return running(scenario, task, 1, async () => {
    await Promise.all([worker.close(true), events.close(), queue.close()]);
  });
}

const scenarios = Object.keys(counts);
const [many, single] = ["100 in flight", "one at a time"] as const;

export const row: Row = {
  title: "a durable task, from its request to its result, every commit on disk",
  contenders: {
    cadre: { scenarios, start: startCadre },
    langgraph: {
      needs: "@langchain/langgraph-checkpoint-sqlite",
      scenarios,
      start: startLangGraph,
    },
    bullmq: { needs: "bullmq", program: "redis-server", scenarios, start: startBullmq },
  },
  goals: [
    {
      what: `${many}, against LangGraph on SQLite`,
      of: ["cadre", many, "perSecond"],
      over: ["langgraph", many, "perSecond"],
      atLeast: 40,
    },
    {
      what: `${many}, against BullMQ on Redis, AOF always`,
      of: ["cadre", many, "perSecond"],
      over: ["bullmq", many, "perSecond"],
      atLeast: 8,
    },
    { what: `${single}, p50, µs`, of: ["cadre", single, "p50Us"], atMost: 150 },
    {
      what: `${single}, p50 against BullMQ`,
      of: ["cadre", single, "p50Us"],
      over: ["bullmq", single, "p50Us"],
      atMost: 0.4,
    },
  ],
};
