import { join } from "node:path";
import { createBus, memory, type Bus } from "cadre";
import { sqlite } from "cadre/sqlite";
import { report, scratchFolder } from "../load.ts";
import { percentile, type Figures, type Row, type Running } from "../row.ts";

const runMs = 2_000;
const everyMs = 20;
const publishers = 1_000;

/** How late a timer of 20 ms fires, again and again, while `saturate` keeps the process busy. */
async function lateness(saturate: (until: () => boolean) => Promise<number>): Promise<Figures> {
  const late: number[] = [];
  const end = performance.now() + runMs;
  const over = (): boolean => performance.now() >= end;
  const watch = (due: number): void => {
    setTimeout(() => {
      const now = performance.now();
      late.push(now - due);
      if (!over()) watch(now + everyMs);
    }, everyMs);
  };
  watch(performance.now() + everyMs);
  const done = await saturate(over);
  if (late.length < 3) throw new Error(`the timer fired ${late.length} times in ${runMs} ms`);
  return {
    worstMs: Math.max(...late),
    p99Ms: percentile(late, 0.99),
    perSecond: (done * 1_000) / runMs,
  };
}

/** Every publisher publishes its next event as soon as the last was taken. */
async function publishing(bus: Bus, until: () => boolean): Promise<number> {
  let published = 0;
  const one = async (): Promise<void> => {
    while (!until()) {
      await bus.publish("task.created", report(published));
      published += 1;
    }
  };
  await Promise.all(Array.from({ length: publishers }, one));
  return published;
}

/** Handlers that publish in a circle: nothing outside ever has to happen. */
async function circling(bus: Bus, until: () => boolean): Promise<number> {
  let handled = 0;
  const subscription = await bus.subscribe("ring.*", async (event, delivery) => {
    handled += 1;
    if (!until()) await delivery.publish(event.type === "ring.a" ? "ring.b" : "ring.a", {});
  });
  for (let index = 0; index < 100; index += 1) await bus.publish("ring.a", {});
  while (!until()) await new Promise((resolve) => setTimeout(resolve, everyMs));
  await bus.idle();
  await subscription.close();
  return handled;
}

async function startCadre(scenario: string): Promise<Running> {
  const path = join(scratchFolder(), "cadre.db");
  const bus = createBus({ transport: scenario === "durable" ? sqlite(path) : memory() });
  let heard = 0;
  await bus.subscribe("task.#", () => void (heard += 1));
  return {
    async round() {
      const before = heard;
      const saturate = scenario === "in a circle" ? circling : publishing;
      const figures = await lateness((until) => saturate(bus, until));
      await bus.idle();
      if (scenario === "in memory" && heard === before) throw new Error("nothing was delivered");
      return figures;
    },
    close: async () => void (await bus.close()),
  };
}

function startIdle(): Running {
  return {
    round: () =>
      lateness(async (until) => {
        while (!until()) await new Promise((resolve) => setTimeout(resolve, everyMs));
        return 0;
      }),
  };
}

export const row: Row = {
  title: "how late a 20 ms timer is while the bus is saturated",
  contenders: {
    cadre: { scenarios: ["durable", "in memory", "in a circle"], start: startCadre },
    "idle process": { scenarios: ["timer alone"], start: startIdle },
  },
  goals: [
    { what: "durable, worst of 2 s, ms", of: ["cadre", "durable", "worstMs"], atMost: 10 },
    { what: "in memory, worst of 2 s, ms", of: ["cadre", "in memory", "worstMs"], atMost: 25 },
    {
      what: "in memory, handlers publishing in a circle, worst of 2 s, ms",
      of: ["cadre", "in a circle", "worstMs"],
      atMost: 25,
    },
  ],
};
