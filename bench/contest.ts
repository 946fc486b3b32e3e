/** Runs the contenders of a row: all of them alive at once, taking turns round by round. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { accessSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Contender, Figures, Goal, Place, Row } from "./row.ts";

const warmUps = 2; // rounds until the compiler has settled
const here = import.meta.dirname;
const roundLimitMs = 60_000; // a contender that takes longer has stopped working

/** The figures of one contender in one scenario, round by round. */
export interface Entry {
  readonly contender: string;
  readonly scenario: string;
  readonly rounds: Figures[];
}

export interface Verdict {
  readonly goal: Goal;
  /** Undefined when a contender was left out or failed. */
  readonly value: number | undefined;
  readonly met: boolean | undefined;
}

export interface Outcome {
  readonly entries: readonly Entry[];
  readonly verdicts: readonly Verdict[];
  /** Contenders that were left out or failed, with the reason. */
  readonly left: readonly { readonly name: string; readonly reason: string }[];
}

interface Seat {
  readonly entry: Entry;
  readonly process: ChildProcess;
  /** The beginning of what it wrote to stderr. */
  readonly complaint: string;
}

export async function runRow(name: string, row: Row, rounds: number): Promise<Outcome> {
  const served = await row.serve?.();
  if (typeof served === "string") {
    const left = Object.keys(row.contenders).map((each) => ({ name: each, reason: served }));
    return { entries: [], verdicts: row.goals.map((goal) => judge(goal, [])), left };
  }
  try {
    return await compete(name, row, rounds, served?.env ?? {});
  } finally {
    await served?.stop();
  }
}

async function compete(
  name: string,
  row: Row,
  rounds: number,
  env: NodeJS.ProcessEnv,
): Promise<Outcome> {
  const left: { name: string; reason: string }[] = [];
  const seats: Seat[] = [];
  for (const [contender, offer] of Object.entries(row.contenders)) {
    const missing = whatIsMissing(offer);
    if (missing !== undefined) {
      left.push({ name: contender, reason: missing });
      continue;
    }
    for (const scenario of offer.scenarios) {
      const seat = spawnSeat([name, contender, scenario], env);
      try {
        check(await hear(seat));
        for (let round = 0; round < warmUps; round += 1) await ask(seat);
        seats.push(seat);
      } catch (error) {
        left.push({ name: `${contender} (${scenario})`, reason: String(error) });
        seat.process.kill("SIGKILL");
      }
    }
  }
  for (let round = 0; round < rounds; round += 1) {
    // Each round begins with another one, so that nobody always follows the same neighbour.
    const shift = seats.length === 0 ? 0 : round % seats.length;
    for (const seat of [...seats.slice(shift), ...seats.slice(0, shift)]) {
      try {
        seat.entry.rounds.push(await ask(seat));
      } catch (error) {
        const { contender, scenario } = seat.entry;
        left.push({ name: `${contender} (${scenario})`, reason: String(error) });
        seats.splice(seats.indexOf(seat), 1);
        seat.process.kill("SIGKILL");
      }
    }
  }
  await Promise.all(seats.map(leave));
  const entries = seats.map(({ entry }) => entry);
  return { entries, verdicts: row.goals.map((goal) => judge(goal, entries)), left };
}

function whatIsMissing({ needs, program }: Contender): string | undefined {
  if (needs !== undefined && !exists(join(here, "node_modules", needs, "package.json"))) {
    return `${needs} is not installed`;
  }
  if (program === undefined) return undefined;
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const found = folders.some((folder) => exists(join(folder, program)));
  return found ? undefined : `${program} is not on the path`;
}

function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

function spawnSeat(place: readonly [string, string, string], env: NodeJS.ProcessEnv): Seat {
  const [, contender, scenario] = place;
  const child = fork(join(here, "contender-process.ts"), place, {
    env: { ...process.env, ...env },
    execArgv: ["--expose-gc", "--disable-warning=ExperimentalWarning"],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const seat = { entry: { contender, scenario, rounds: [] }, process: child, complaint: "" };
  child.stderr?.on("data", (text: Buffer) => {
    seat.complaint = `${seat.complaint}${String(text)}`.slice(0, 2_000);
  });
  return seat;
}

async function ask(seat: Seat): Promise<Figures> {
  seat.process.send("round");
  return (check(await hear(seat)) as { readonly figures: Figures }).figures;
}

function check(answer: object): object {
  if ("error" in answer) throw new Error(String(answer.error));
  return answer;
}

async function hear(seat: Seat): Promise<object> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), roundLimitMs);
  try {
    const { signal } = stop;
    const [message] = (await Promise.race([
      once(seat.process, "message", { signal }),
      once(seat.process, "exit", { signal }).then(() => {
        throw new Error(`its process ended: ${seat.complaint}`);
      }),
    ])) as [object];
    return message;
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

async function leave(seat: Seat): Promise<void> {
  const gone = once(seat.process, "exit");
  const timer = setTimeout(() => seat.process.kill("SIGKILL"), 10_000);
  seat.process.send("close");
  await gone;
  clearTimeout(timer);
}

function judge(goal: Goal, entries: readonly Entry[]): Verdict {
  const above = valuesAt(goal.of, entries);
  const below = goal.over && valuesAt(goal.over, entries);
  if (above === undefined || (goal.over && below === undefined)) {
    return { goal, value: undefined, met: undefined };
  }
  const value = median(above.map((each, round) => (below ? each / below[round]! : each)));
  const met = value >= (goal.atLeast ?? -Infinity) && value <= (goal.atMost ?? Infinity);
  return { goal, value, met };
}

function valuesAt(
  [contender, scenario, figure]: Place,
  entries: readonly Entry[],
): number[] | undefined {
  const entry = entries.find((each) => each.contender === contender && each.scenario === scenario);
  const values = entry?.rounds.map((round) => round[figure] ?? Number.NaN);
  return values === undefined || values.length === 0 ? undefined : values;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
