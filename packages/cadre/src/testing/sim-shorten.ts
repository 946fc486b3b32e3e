/** Finds the few faults that it takes: what fails with a whole list often needs little of it. */
import type { ScheduledFault } from "./sim-faults.ts";

/**
 * A short schedule that fails: as few of `faults` as it takes, or one fault alone that is like one
 * of these and happens at another call.
 *
 * @param fails whether it fails with this schedule; asked `maxRuns` times at most
 */
export async function shortSchedule(
  faults: readonly ScheduledFault[],
  fails: (schedule: readonly ScheduledFault[]) => Promise<boolean>,
  maxRuns: number,
): Promise<readonly ScheduledFault[]> {
  let runs = 0;
  const ask = async (schedule: readonly ScheduledFault[]): Promise<boolean> => {
    runs += 1;
    return fails(schedule);
  };
  const few = await shorten(faults, ask, Math.ceil(maxRuns * shareOfLeavingOut));
  if (few.length < 2) return few;
  // Without the others a fault's call is another one: it is looked for among the first.
  for (let nth = 1; nth <= maxNth; nth += 1) {
    for (const fault of kindsOf(few)) {
      if (runs >= maxRuns) return few;
      if (await ask([{ ...fault, nth }])) return [{ ...fault, nth }];
    }
  }
  return few;
}

const shareOfLeavingOut = 0.6; // of the runs; the rest is for the search of one alone
const maxNth = 20;

/** One of each kind, process and call, as of the process's first life. */
function kindsOf(faults: readonly ScheduledFault[]): readonly ScheduledFault[] {
  const kinds = new Map<string, ScheduledFault>();
  for (const { kind, process, call, ms } of faults) {
    const where = call === undefined ? {} : { call };
    const lasting = ms === undefined ? {} : { ms };
    kinds.set(`${kind} ${process} ${call}`, { kind, process, ...where, life: 1, ...lasting });
  }
  return [...kinds.values()];
}

/**
 * Leaves out parts of a list for as long as what is left still fails (delta debugging): halves
 * first, then smaller parts, in the end one by one.
 *
 * @param fails whether it fails with these alone; asked `maxRuns` times at most
 * @returns a list that fails, and of which nothing more could be left out in so many runs; the
 * whole list if nothing can
 */
export async function shorten<Item>(
  items: readonly Item[],
  fails: (items: readonly Item[]) => Promise<boolean>,
  maxRuns: number,
): Promise<readonly Item[]> {
  let runs = 0;
  const ask = async (part: readonly Item[]): Promise<boolean> => {
    runs += 1;
    return fails(part);
  };
  if (items.length === 0 || maxRuns === 0) return items;
  if (await ask([])) return [];
  let left = items;
  let parts = 2;
  while (left.length > 1 && runs < maxRuns) {
    const size = Math.ceil(left.length / parts);
    let found: readonly Item[] | undefined;
    for (let from = 0; from < left.length && !found && runs < maxRuns; from += size) {
      const rest = [...left.slice(0, from), ...left.slice(from + size)];
      if (await ask(rest)) found = rest;
    }
    if (found) {
      left = found;
      parts = Math.max(2, parts - 1);
    } else if (size === 1) {
      break;
    } else {
      parts = Math.min(left.length, parts * 2);
    }
  }
  return left;
}
