/** What must hold at the end of every simulated run of the processes that are left. */
import type { Cadre } from "../agents/cadre.ts";
import type { StoredEvent } from "../store/event-store.ts";
import type { LogCounts } from "./sim-invariants.ts";
import type { Violation } from "./sim-options.ts";

/** A process that is up at the end of the run. */
export interface Live {
  readonly name: string;
  readonly team: Cadre;
}

/**
 * Compares what the processes hold in memory with the log: live projection = rebuilt projection, no
 * slot is kept, and nobody writes any more.
 *
 * @param late what was written when writing should have ended
 */
export function liveViolations(
  live: readonly Live[],
  counts: LogCounts,
  late: readonly StoredEvent[],
): readonly Violation[] {
  const violations: Violation[] = [];
  for (const { name, team } of live) {
    const { tasksOpen, tasksRunningHere, ...stats } = team.stats();
    for (const [key, value] of Object.entries(stats) as [keyof typeof stats, number][]) {
      if (value === counts[key]) continue;
      const message = `${key} of ${name}: live ${value}, rebuilt ${counts[key]}`;
      violations.push({ invariant: "live projection = rebuilt projection", message });
    }
    const left = { tasksOpen: tasksOpen - counts.tasksLost, tasksRunningHere };
    for (const [key, value] of Object.entries(left)) {
      if (value === 0 || counts.tasksLost > 0) continue;
      violations.push({ invariant: "quiescence", message: `${name} still has ${key} ${value}` });
    }
    for (const { card, presence } of team.directory.find()) {
      // the card of a dead process says what it held when it died
      if (card.load === 0 || presence === "dead" || counts.tasksLost > 0) continue;
      const message = `${name} sees a load of ${card.load} on ${card.agent}/${card.incarnation}`;
      violations.push({ invariant: "quiescence", message });
    }
  }
  const [first] = late;
  if (first) {
    const { event, stream } = first;
    const message = `${event.type} was written to ${stream ?? "the log"} after the end`;
    const where = stream === undefined ? {} : { stream };
    violations.push({ invariant: "quiescence", message, ...where });
  }
  return violations;
}
