import { compileFilter, createEvent, FilterIndex, secureRandom, systemClock } from "cadre";
import type { AgentEvent } from "cadre";
import { check, perSecond, type Row, type Running } from "../row.ts";

const scenarios = ["1 filter", "100 filters", "1,000 filters"];
const kinds = 200;

interface Order {
  readonly agent: string;
  readonly kind: string;
  readonly size: number;
}

/** What agents ask for: mostly an equality with a bound, some lists, a few without an equality. */
function filterAt(index: number): Record<string, unknown> {
  if (index % 20 === 19) return { "payload.size": { $gt: 1_000 - (index % 50) } };
  if (index % 4 === 3) {
    return { "payload.kind": { $in: [`k${index % kinds}`, `k${(index + 1) % kinds}`] } };
  }
  return { "payload.agent": `a${index}`, "payload.size": { $gte: 100, $lt: 900 } };
}

function matches(index: number, { agent, kind, size }: Order): boolean {
  if (index % 20 === 19) return size > 1_000 - (index % 50);
  if (index % 4 === 3) return kind === `k${index % kinds}` || kind === `k${(index + 1) % kinds}`;
  return agent === `a${index}` && size >= 100 && size < 900;
}

function eventsFor(filters: number): AgentEvent<string, Order>[] {
  const context = { clock: systemClock, random: secureRandom, source: "bench" };
  return Array.from({ length: 500 }, (_, index) =>
    createEvent(context, "order.placed", {
      agent: `a${(index * 7) % filters}`,
      kind: `k${(index * 13) % kinds}`,
      size: (index * 37) % 1_000,
    }),
  );
}

function running(scenario: string, count: (event: AgentEvent<string, Order>) => number): Running {
  const filters = numberOf(scenario);
  const events = eventsFor(filters);
  const expected = events.map(({ payload }) => {
    let sum = 0;
    for (let index = 0; index < filters; index += 1) sum += matches(index, payload) ? 1 : 0;
    return sum;
  });
  const repeats = filters === 1 ? 400 : 6;
  return {
    async round() {
      let found = 0;
      const rate = await perSecond(events.length * repeats, () => {
        for (let repeat = 0; repeat < repeats; repeat += 1) {
          for (const event of events) found += count(event);
        }
      });
      check("matches", found, repeats * expected.reduce((a, b) => a + b));
      return { perSecond: rate };
    },
  };
}

function startCadre(scenario: string): Running {
  const filters = numberOf(scenario);
  if (filters === 1) {
    const filter = compileFilter(filterAt(0));
    return running(scenario, (event) => (filter.matches(event) ? 1 : 0));
  }
  const index = new FilterIndex<number>();
  for (let n = 0; n < filters; n += 1) index.add(compileFilter(filterAt(n)), n);
  return running(scenario, (event) => index.match(event).length);
}

async function startSift(scenario: string): Promise<Running> {
  const { default: sift } = await import("sift");
  const tests = Array.from({ length: numberOf(scenario) }, (_, index) => sift(filterAt(index)));
  return running(scenario, (event) => {
    let found = 0;
    for (const test of tests) if (test(event)) found += 1;
    return found;
  });
}

function numberOf(scenario: string): number {
  return Number.parseInt(scenario.replace(",", ""), 10);
}

export const row: Row = {
  title: "content filters on one type",
  contenders: {
    cadre: { scenarios, start: startCadre },
    sift: { needs: "sift", scenarios, start: startSift },
  },
  goals: scenarios.map((scenario, index) => ({
    what: `${scenario}, against sift`,
    of: ["cadre", scenario, "perSecond"] as const,
    over: ["sift", scenario, "perSecond"] as const,
    atLeast: [4, 60, 80][index]!,
  })),
};
