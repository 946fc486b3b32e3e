import { type } from "cadre";
import { defineAgent, defineTask, startCadre as startTeam } from "cadre/agents";
import { check, type Row, type Running } from "../row.ts";

const inFlight = 100;
const count = 2_000;

/** Runs one task, with `n` in and 2n out, and adds to the audit what it saw of it. */
type RunTask = (n: number) => Promise<number>;

function running(run: RunTask, audited: () => number, end?: () => Promise<unknown>): Running {
  return {
    async round() {
      const before = audited();
      let next = 0;
      const lane = async (): Promise<void> => {
        while (next < count) {
          const n = next++;
          check("result", await run(n), 2 * n);
        }
      };
      const start = performance.now();
      await Promise.all(Array.from({ length: inFlight }, lane));
      const rate = (count * 1_000) / (performance.now() - start);
      // What the audit hears comes behind the result.
      const limit = performance.now() + 10_000;
      while (audited() - before < count && performance.now() < limit) await turn();
      check("audited", audited() - before, count);
      return { perSecond: rate };
    },
    close: async () => void (await end?.()),
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

async function startCadre(): Promise<Running> {
  const Double = defineTask({
    name: "double",
    input: type<{ n: number }>(),
    output: type<number>(),
  });
  const worker = defineAgent({ name: "worker", capacity: inFlight }).does(Double, ({ n }, ctx) =>
    ctx.step("double", () => 2 * n),
  );
  const team = await startTeam({ agents: [worker] });
  let audited = 0;
  await team.bus.subscribe("task.completed", { maxQueued: 100_000 }, () => void (audited += 1));
  return running(
    async (n) => (await team.tasks.create(Double, { n })).result(),
    () => audited,
    () => team.close(),
  );
}

async function startLlamaIndex(): Promise<Running> {
  const { createWorkflow, workflowEvent } = await import("@llamaindex/workflow-core");
  const created = workflowEvent<number>();
  const assigned = workflowEvent<number>();
  const stepped = workflowEvent<number>();
  const completed = workflowEvent<number>();
  const workflow = createWorkflow();
  workflow.handle([created], (_, { data }) => assigned.with(data));
  workflow.handle([assigned], (_, { data }) => stepped.with(2 * data));
  workflow.handle([stepped], (_, { data }) => completed.with(data));
  let audited = 0;
  return running(
    async (n) => {
      const { stream, sendEvent } = workflow.createContext();
      sendEvent(created.with(n));
      const all = await stream.until(completed).toArray();
      audited += 1;
      return all.at(-1)!.data as number;
    },
    () => audited,
  );
}

async function startXState(): Promise<Running> {
  const { assign, createActor, fromPromise, setup, toPromise } = await import("xstate");
  const machine = setup({
    types: { context: { n: 0 }, input: { n: 0 }, output: 0 },
    actors: { step: fromPromise(async ({ input }: { input: number }) => 2 * input) },
  }).createMachine({
    initial: "created",
    context: ({ input }) => ({ n: input.n }),
    states: {
      created: { always: "assigned" },
      assigned: {
        invoke: {
          src: "step",
          input: ({ context }) => context.n,
          onDone: { target: "completed", actions: assign({ n: ({ event }) => event.output }) },
        },
      },
      completed: { type: "final" },
    },
    output: ({ context }) => context.n,
  });
  let audited = 0;
  return running(
    async (n) => {
      const actor = createActor(machine, { input: { n } });
      actor.subscribe((snapshot) => void (audited += snapshot.status === "done" ? 1 : 0));
      actor.start();
      return toPromise(actor);
    },
    () => audited,
  );
}

const scenario = "100 in flight";

export const row: Row = {
  title: "a task in memory: created, assigned, one step, completed; an audit listens",
  contenders: {
    cadre: { scenarios: [scenario], start: startCadre },
    llamaindex: {
      needs: "@llamaindex/workflow-core",
      scenarios: [scenario],
      start: startLlamaIndex,
    },
    xstate: { needs: "xstate", scenarios: [scenario], start: startXState },
  },
  goals: [
    {
      what: `${scenario}, against LlamaIndex workflow-core`,
      of: ["cadre", scenario, "perSecond"],
      over: ["llamaindex", scenario, "perSecond"],
      atLeast: 30,
    },
    {
      what: `${scenario}, against XState`,
      of: ["cadre", scenario, "perSecond"],
      over: ["xstate", scenario, "perSecond"],
      atLeast: 5,
    },
  ],
};
