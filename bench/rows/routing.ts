import { TopicTrie } from "cadre";
import { freshTypes, recurringTypes, teamPatterns, type Typed } from "../load.ts";
import { check, perSecond, type Row, type Running } from "../row.ts";

interface Matcher {
  add(pattern: string, handler: () => void): unknown;
  match(type: string): readonly (() => void)[];
}

const count = 200_000; // types in one round
// The same traffic for 1 k and 100 k patterns: what does not match must cost nothing.
const busyAgents = 996;

function start(matcher: () => Matcher, scenario: string): Running {
  const [kind, size, spread] = scenario.split(" ");
  const patterns = teamPatterns(size === "100k" ? 100_000 : 1_000);
  if (kind === "memory") return memoryOf(matcher, patterns);
  let delivered = 0;
  const target = matcher();
  for (const pattern of patterns) target.add(pattern, () => (delivered += 1));
  const agents = spread === "spread" ? patterns.length - 4 : busyAgents;
  const recurring = recurringTypes(agents);
  return {
    async round() {
      const types: readonly Typed[] =
        kind === "recurring"
          ? Array.from({ length: count }, (_, index) => recurring[index % 512]!)
          : freshTypes(agents, count);
      globalThis.gc!();
      delivered = 0;
      const rate = await perSecond(count, () => {
        for (const { type } of types) for (const handler of target.match(type)) handler();
      });
      const expected = types.reduce((sum, { matches }) => sum + matches, 0);
      check("deliveries", delivered, expected);
      return { perSecond: rate };
    },
  };
}

function memoryOf(matcher: () => Matcher, patterns: readonly string[]): Running {
  const handlers = patterns.map((_, index) => () => void index);
  return {
    round() {
      globalThis.gc!();
      const before = used();
      const target = matcher();
      const removers = patterns.map((pattern, index) => target.add(pattern, handlers[index]!));
      globalThis.gc!();
      const bytes = used() - before;
      check("routes kept", target.match("task.assigned.a0").length + removers.length, 2 + 100_000);
      return { bytesEach: bytes / patterns.length };
    },
  };
}

function used(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const speeds = ["recurring 1k", "recurring 100k", "fresh 1k", "fresh 100k", "fresh 100k spread"];
const scenarios = [...speeds, "memory 100k"];

export const row: Row = {
  title: "route and deliver",
  contenders: {
    cadre: { scenarios, start: (scenario) => start(() => new TopicTrie<() => void>(), scenario) },
    qlobber: {
      needs: "qlobber",
      scenarios,
      start: async (scenario) => {
        const { Qlobber } = await import("qlobber");
        return start(() => new Qlobber<() => void>(), scenario);
      },
    },
  },
  goals: [
    ...speeds.map((scenario) => ({
      what: `${scenario} types against qlobber`,
      of: ["cadre", scenario, "perSecond"] as const,
      over: ["qlobber", scenario, "perSecond"] as const,
      atLeast: scenario.startsWith("recurring") ? 3 : 2,
    })),
    ...["recurring", "fresh"].map((kind) => ({
      what: `${kind}: 100 k patterns against 1 k`,
      of: ["cadre", `${kind} 100k`, "perSecond"] as const,
      over: ["cadre", `${kind} 1k`, "perSecond"] as const,
      atLeast: 0.9,
    })),
    {
      what: "memory a subscription, bytes",
      of: ["cadre", "memory 100k", "bytesEach"],
      atMost: 250,
    },
  ],
};
