import { join } from "node:path";
import { type } from "cadre";
import { defineAgent, defineTask, startCadre as startTeam, type Cadre } from "cadre/agents";
import { scratchFolder } from "../load.ts";
import { check, type Figures, type Row, type Running } from "../row.ts";

const idleAgents = 10_000;
const settleMs = 2_000;
const idleMs = 4_000; // two heartbeats
const workers = 1_000;
const tasksEach = 20; // and three rounds of each: more would take minutes
const batch = 1_000; // tasks in one commit
const alone = 100; // capacity of the one agent that does all

const Work = defineTask({ name: "work", input: type<number>(), output: type<number>() });

function heapNow(): number {
  // Twice: what the first one frees may hold something else.
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

function storeOf(scenario: string): string {
  return scenario === "durable" ? `sqlite:${join(scratchFolder(), "cadre.db")}` : "memory:";
}

/** What each of ten thousand agents with nothing to do takes, its definition and card included. */
async function idle(scenario: string): Promise<Figures> {
  const store = storeOf(scenario);
  const bare = await startTeam({ store });
  // What is left of the round before is let go within this time, and is not to be in the way.
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const before = heapNow();
  await bare.close();
  const agents = Array.from({ length: idleAgents }, (_, index) =>
    defineAgent({ name: `idle-${index}`, capabilities: [`can-${index % 100}`] }).does(
      Work,
      (n) => n + index,
    ),
  );
  const startedAt = performance.now();
  const team = await startTeam({ agents, store: storeOf(scenario) });
  const startMs = performance.now() - startedAt;
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  check("agents in the directory", team.directory.find({ presence: "online" }).length, idleAgents);
  const heap = heapNow();
  const cpu = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, idleMs));
  const { user, system } = process.cpuUsage(cpu);
  await team.close();
  return {
    heapBytes: (heap - before) / idleAgents,
    cpuPercent: (user + system) / 10 / idleMs,
    startMs,
  };
}

/** A thousand agents, or one, do twenty thousand tasks. */
async function busy(scenario: string, count: number): Promise<Figures> {
  const done = new Set<number>();
  const agents = Array.from({ length: count }, (_, index) =>
    defineAgent({ name: `worker-${index}`, capacity: count === 1 ? alone : 1 }).does(Work, (n) => {
      done.add(n);
      return n;
    }),
  );
  const team: Cadre = await startTeam({ agents, store: storeOf(scenario), orchestrator: false });
  const total = workers * tasksEach;
  const startedAt = performance.now();
  for (let from = 0; from < total; from += batch) {
    const inputs = Array.from({ length: batch }, (_, index) => from + index);
    const tasks = inputs.map((input) => ({ definition: Work, input }));
    const handles = await team.tasks.createAll(tasks);
    await Promise.all(handles.map((handle) => handle.result()));
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  check("tasks done", done.size, total);
  await team.close();
  return { perSecond: total / seconds };
}

function startCadre(scenario: string): Running {
  const [kind = "", where = ""] = scenario.split(", ");
  return {
    round: () => {
      if (kind === "10,000 idle") return idle(where);
      return busy(where, kind === "1,000 busy" ? workers : 1);
    },
  };
}

export const row: Row = {
  title: "10,000 idle agents, and 1,000 busy ones, in one process",
  contenders: {
    cadre: {
      scenarios: ["10,000 idle, durable", "1,000 busy, durable", "1 busy, durable"],
      start: startCadre,
    },
  },
  goals: [
    {
      what: "heap of an idle agent, bytes",
      // In memory the log is in the heap as well, with an event of each agent.
      of: ["cadre", "10,000 idle, durable", "heapBytes"],
      atMost: 900,
    },
    {
      what: "processor of 10,000 idle agents, percent",
      of: ["cadre", "10,000 idle, durable", "cpuPercent"],
      atMost: 5,
    },
    {
      what: "1,000 agents of capacity 1 ÷ one agent of capacity 100",
      of: ["cadre", "1,000 busy, durable", "perSecond"],
      over: ["cadre", "1 busy, durable", "perSecond"],
      atLeast: 0.8,
    },
  ],
};
