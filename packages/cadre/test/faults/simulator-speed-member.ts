/** Simulates a team of ten agents under load, and says what that took. */
import { type } from "cadre";
import { defineAgent, defineTask, type AgentDefinition } from "cadre/agents";
import { simulate, type FaultRates, type Scenario } from "cadre/testing";

/** What it is started with, as JSON. */
export interface Load {
  readonly processes: number;
  /** Virtual milliseconds between two tasks. */
  readonly everyMs: number;
  readonly minutes: number;
}

/** What it says. */
export interface Speed {
  /** Virtual hours an hour of CPU. */
  readonly hours: number;
  readonly virtualMs: number;
  readonly cpuMs: number;
  readonly tasksCreated: number;
  readonly tasksCompleted: number;
  readonly events: number;
  readonly crashes: number;
}

const load = JSON.parse(process.argv[2] ?? "{}") as Load;
const minuteMs = 60_000;

const Work = defineTask({
  name: "work",
  input: type<number>(),
  output: type<number>(),
  maxAttempts: 50,
});

const worker = (index: number): AgentDefinition =>
  defineAgent({ name: `worker-${index}`, capacity: 2 }).does(Work, async (n, ctx) => {
    const doubled = await ctx.step("double", () => 2 * n);
    await ctx.clock.sleep(1_000);
    return doubled;
  });

/** Ten agents in so many processes, and a task now and then. */
function team({ processes, everyMs, minutes }: Load): Scenario {
  const names = Array.from({ length: processes }, (_, index) => `p${index}`);
  return {
    processes: names,
    agents: (process) =>
      Array.from({ length: 10 }, (_, index) => index)
        .filter((index) => names[index % processes] === process)
        .map(worker),
    work: async (running, _world, clock) => {
      const tasks = [];
      for (let at = 0; at < minutes * minuteMs; at += everyMs) {
        tasks.push(await running.tasks.create(Work, at, { id: `task-${at}` }));
        await clock.sleep(everyMs);
      }
      for (const task of tasks) await task.result();
    },
  };
}

/** Some of everything, as often as in an hour of a bad day. */
const badDay: FaultRates = {
  crashBefore: 0.000_02,
  crashAfter: 0.000_02,
  loseAnswer: 0.000_2,
  fail: 0.000_2,
  pauseAfter: 0.000_02,
  partition: 0.000_02,
  duplicate: 0.001,
  slow: 0.000_2,
  clockSkewMs: 10_000,
  clockDrift: 0.001,
};

async function measure(): Promise<Speed> {
  const before = process.cpuUsage();
  const result = await simulate({
    ...team(load),
    faults: badDay,
    seed: 1,
    maxVirtualMs: 2 * load.minutes * minuteMs,
  });
  const { user, system } = process.cpuUsage(before);
  const { virtualMs, tasksCreated, tasksCompleted, events, crashes } = result;
  const cpuMs = (user + system) / 1_000;
  const hours = Math.round(virtualMs / cpuMs);
  return { hours, virtualMs, cpuMs, tasksCreated, tasksCompleted, events, crashes };
}

const speed = await measure();
if (process.send) process.send(speed);
else process.stdout.write(`${JSON.stringify(speed)}\n`);
