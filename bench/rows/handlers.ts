import { createBus, memory } from "cadre";
import { report } from "../load.ts";
import { check, type Row, type Running } from "../row.ts";

const scenarios = ["1 handler", "10 handlers", "100 handlers"];

/** Publishes one after the other; each publish is over when all its handlers are done. */
function running(
  scenario: string,
  handled: { count: number },
  publish: () => Promise<void>,
): Running {
  const handlers = Number.parseInt(scenario, 10);
  const count = 40_000 / handlers ** 0.75;
  return {
    async round() {
      handled.count = 0;
      let published = 0;
      const start = performance.now();
      for (; published < count; published += 1) await publish();
      const rate = (published * 1_000) / (performance.now() - start);
      check("handled", handled.count, published * handlers);
      return { perSecond: rate };
    },
  };
}

async function startCadre(scenario: string): Promise<Running> {
  const bus = createBus({ transport: memory() });
  const handlers = Number.parseInt(scenario, 10);
  const handled = { count: 0 };
  let left = 0;
  let done = (): void => {};
  for (let index = 0; index < handlers; index += 1) {
    await bus.subscribe("task.created", async () => {
      await Promise.resolve();
      handled.count += 1;
      left -= 1;
      if (left === 0) done();
    });
  }
  return running(scenario, handled, async () => {
    left = handlers;
    const all = new Promise<void>((resolve) => (done = resolve));
    await bus.publish("task.created", report(1));
    await all;
  });
}

async function startEmittery(scenario: string): Promise<Running> {
  const { default: Emittery } = await import("emittery");
  const emitter = new Emittery();
  const handled = { count: 0 };
  for (let index = 0; index < Number.parseInt(scenario, 10); index += 1) {
    emitter.on("task.created", async () => {
      await Promise.resolve();
      handled.count += 1;
    });
  }
  return running(scenario, handled, () => emitter.emit("task.created", report(1)));
}

export const row: Row = {
  title: "publish until all async handlers are done",
  contenders: {
    cadre: { scenarios, start: startCadre },
    emittery: { needs: "emittery", scenarios, start: startEmittery },
  },
  goals: scenarios.map((scenario, index) => ({
    what: `${scenario}, against emittery`,
    of: ["cadre", scenario, "perSecond"] as const,
    over: ["emittery", scenario, "perSecond"] as const,
    atLeast: [10, 3, 2][index]!,
  })),
};
