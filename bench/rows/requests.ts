import { createBus, memory } from "cadre";
import { check, perSecond, type Row, type Running } from "../row.ts";

const count = 10_000;
const scenarios = ["one at a time", "100 in flight"];

function running(
  scenario: string,
  ask: (n: number) => Promise<number>,
  end: () => Promise<unknown>,
) {
  const lanes = scenario === "one at a time" ? 1 : 100;
  return {
    async round() {
      let next = 0;
      let answered = 0;
      const lane = async (): Promise<void> => {
        while (next < count) {
          const n = next++;
          check("answer", await ask(n), 2 * n);
          answered += 1;
        }
      };
      const rate = await perSecond(count, async () => {
        await Promise.all(Array.from({ length: lanes }, lane));
      });
      check("answers", answered, count);
      return { perSecond: rate };
    },
    close: async () => void (await end()),
  } satisfies Running;
}

async function startCadre(scenario: string): Promise<Running> {
  const bus = createBus({ transport: memory() });
  await bus.respond("math.double", { concurrency: 1_000 }, (event) => ({
    doubled: 2 * (event.payload as { readonly n: number }).n,
  }));
  const ask = async (n: number): Promise<number> => {
    const reply = await bus.request("math.double", { n }, { timeoutMs: 5_000 });
    return (reply.payload as { readonly doubled: number }).doubled;
  };
  return running(scenario, ask, () => bus.close());
}

async function startMoleculer(scenario: string): Promise<Running> {
  const { ServiceBroker } = await import("moleculer");
  const broker = new ServiceBroker({ logger: false, requestTimeout: 5_000 });
  broker.createService({
    name: "math",
    actions: {
      double: async ({ params }: { readonly params: { readonly n: number } }) => ({
        doubled: 2 * params.n,
      }),
    },
  });
  await broker.start();
  const ask = async (n: number): Promise<number> => {
    const reply = await broker.call("math.double", { n });
    return (reply as { readonly doubled: number }).doubled;
  };
  return running(scenario, ask, () => broker.stop());
}

export const row: Row = {
  title: "request and reply in one process, with a timeout and correlation",
  contenders: {
    cadre: { scenarios, start: startCadre },
    moleculer: { needs: "moleculer", scenarios, start: startMoleculer },
  },
  goals: scenarios.map((scenario) => ({
    what: `${scenario}, against moleculer`,
    of: ["cadre", scenario, "perSecond"] as const,
    over: ["moleculer", scenario, "perSecond"] as const,
    atLeast: 5,
  })),
};
