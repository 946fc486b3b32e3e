import { createBus, memory } from "cadre";
import { recurringTypes, report, teamPatterns } from "../load.ts";
import { check, perSecond, type Row, type Running } from "../row.ts";

const patternCount = 1_000;
const count = 100_000; // publishes in one round
const types = recurringTypes(patternCount - 4);
const expected = Array.from({ length: count }, (_, index) => types[index % 512]!.matches).reduce(
  (sum, matches) => sum + matches,
  0,
);

/** Whatever is published, each handler counts, and what the count has to be is known before. */
function counted(publishAll: () => Promise<void> | void, delivered: { count: number }): Running {
  return {
    async round() {
      delivered.count = 0;
      const rate = await perSecond(count, publishAll);
      check("deliveries", delivered.count, expected);
      return { perSecond: rate };
    },
  };
}

async function startCadre(scenario: string): Promise<Running> {
  const bus = createBus({ transport: memory() });
  const delivered = { count: 0 };
  for (const pattern of teamPatterns(patternCount)) {
    await bus.subscribe(pattern, () => void (delivered.count += 1));
  }
  const inFlight = scenario === "awaited" ? 1 : 100;
  return counted(async () => {
    for (let index = 0; index < count; index += inFlight) {
      if (inFlight === 1) {
        await bus.publish(types[index % 512]!.type, report(index));
        continue;
      }
      const publishes = [];
      for (let other = index; other < index + inFlight; other += 1) {
        publishes.push(bus.publish(types[other % 512]!.type, report(other)));
      }
      await Promise.all(publishes);
    }
    await bus.idle();
  }, delivered);
}

async function startQlobber(): Promise<Running> {
  const { Qlobber } = await import("qlobber");
  const matcher = new Qlobber<number>();
  const delivered = { count: 0 };
  for (const [index, pattern] of teamPatterns(patternCount).entries()) matcher.add(pattern, index);
  return counted(() => {
    for (let index = 0; index < count; index += 1) {
      delivered.count += matcher.match(types[index % 512]!.type).length;
    }
  }, delivered);
}

async function startEmitter(): Promise<Running> {
  const { default: eventemitter2 } = await import("eventemitter2");
  const options = { wildcard: true, delimiter: ".", maxListeners: 0 };
  const emitter = new eventemitter2.EventEmitter2(options);
  const delivered = { count: 0 };
  for (const pattern of teamPatterns(patternCount)) {
    emitter.on(pattern.replaceAll("#", "**"), () => void (delivered.count += 1));
  }
  return counted(() => {
    for (let index = 0; index < count; index += 1) {
      emitter.emit(types[index % 512]!.type, report(index));
    }
  }, delivered);
}

const scenarios = ["awaited", "100 at once"];

export const row: Row = {
  title: "full publish: id, time, correlation, route, isolated delivery",
  contenders: {
    cadre: { scenarios, start: startCadre },
    qlobber: { needs: "qlobber", scenarios: ["bare match"], start: startQlobber },
    eventemitter2: { needs: "eventemitter2", scenarios: ["emit"], start: startEmitter },
  },
  goals: scenarios.flatMap((scenario) => [
    {
      what: `${scenario}, against qlobber's bare match`,
      of: ["cadre", scenario, "perSecond"] as const,
      over: ["qlobber", "bare match", "perSecond"] as const,
      atLeast: 1,
    },
    {
      what: `${scenario}, against eventemitter2`,
      of: ["cadre", scenario, "perSecond"] as const,
      over: ["eventemitter2", "emit", "perSecond"] as const,
      atLeast: 2,
    },
  ]),
};
