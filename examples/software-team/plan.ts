/** The planner: a plain function from what was found to the plan of a round. */
import type { PlannedTask } from "cadre/agents";
import { Fix, Integrate, type Finding, type Health } from "./contract.ts";

/** What must be right comes before what should be tidy. */
const order = ["failing-test", "missing", "type", "unsorted", "compile", "deprecated", "dead"];

/**
 * A task for each finding. Changes of one file build on each other; files are changed side by side,
 * and the last changes of all are merged in the end.
 */
export function planRound(base: string, round: number, health: Health): readonly PlannedTask[] {
  const tips = new Map<string, string>();
  const fixes = [...health.findings].sort(byRank).map((finding): PlannedTask => {
    const before = tips.get(finding.file);
    tips.set(finding.file, finding.id);
    return {
      name: finding.id,
      definition: Fix,
      input: { finding, base, health },
      dependsOn: before === undefined ? [] : [before],
      priority: finding.tests.length > 0 ? "high" : "normal",
    };
  });
  const last = [...tips.values()].sort();
  const integrate: PlannedTask = {
    name: "integrate",
    definition: Integrate,
    input: { base, round, tips: last },
    dependsOn: fixes.map(({ name }) => name),
  };
  return [...fixes, integrate];
}

function byRank(a: Finding, b: Finding): number {
  return rank(a) - rank(b) || (a.id < b.id ? -1 : 1);
}

function rank({ id }: Finding): number {
  return order.findIndex((start) => id.startsWith(start));
}
