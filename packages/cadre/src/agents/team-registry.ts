import { builtinEvents } from "../core/builtin/registry.ts";
import { combineRegistries } from "../core/combined-registry.ts";
import type { EventRegistry } from "../core/registry.ts";
import type { AnyAgent } from "./agent.ts";

/** All that a team takes: its own registry first, then those of its agents, then the built-in. */
export function teamRegistry(team: {
  readonly events?: EventRegistry;
  readonly agents?: readonly Pick<AnyAgent, "registry">[];
}): EventRegistry {
  const own = [team.events, ...(team.agents ?? []).map(({ registry }) => registry)];
  const given = [...new Set(own)].filter((registry) => registry !== undefined);
  return [...given, builtinEvents].reduceRight((rest, registry) =>
    combineRegistries(registry, rest),
  );
}
