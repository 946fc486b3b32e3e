import { durationText, fitText, wholeNumber } from "./text-layout.ts";

/** How far the desk is. */
export interface Progress {
  readonly tasksDone: number;
  /** Of what is planned so far; it grows while the archivist reads. */
  readonly tasksTotal: number;
  readonly documentsDone: number;
  readonly documentsTotal: number;
  readonly elapsedMs: number;
  /** Tasks a second over the last seconds, not over the whole run. */
  readonly tasksPerSecond: number;
  readonly agents: readonly AgentLoad[];
}

export interface AgentLoad {
  readonly name: string;
  readonly status: "idle" | "working" | "suspected" | "dead" | "starting";
  readonly running: number;
  readonly capacity: number;
  readonly done: number;
  /** The task at hand, in a word. */
  readonly doing?: string;
}

const widestBar = 40;
const loadSlots = 8; // cells of an agent's load; more capacity than that is scaled down

/**
 * The lines to show, none longer than `columns`; the same number of lines for the same number
 * of agents.
 */
export function renderProgress(progress: Progress, columns: number): string[] {
  const { tasksDone, tasksTotal } = progress;
  const share = tasksTotal > 0 ? Math.min(1, tasksDone / tasksTotal) : 0;
  const percent = `${String(Math.floor(share * 100)).padStart(3)}%`;
  const bar = progressBar(share, Math.max(4, Math.min(widestBar, columns - 40)));
  const counted = `${wholeNumber(tasksDone)}/${wholeNumber(tasksTotal)} tasks`;
  const width = Math.max(0, ...progress.agents.map((agent) => agent.name.length));
  const lines = [
    `${bar} ${percent}  ${counted}`,
    rateLine(progress),
    ...progress.agents.map((agent) => agentLine(agent, Math.min(width, 24))),
  ];
  return lines.map((line) => fitText(line.trimEnd(), columns));
}

/** The progress in one line, for logs and pipes. */
export function progressLine(progress: Progress): string {
  const { tasksDone, tasksTotal, agents } = progress;
  const share = tasksTotal > 0 ? Math.floor((tasksDone / tasksTotal) * 100) : 0;
  const load = agents.map(({ name, running, capacity }) => `${name} ${running}/${capacity}`);
  const counted = `${wholeNumber(tasksDone)}/${wholeNumber(tasksTotal)} tasks`;
  return `${String(share).padStart(3)}%  ${counted}, ${rateLine(progress)}  ${load.join(", ")}`;
}

function progressBar(share: number, width: number): string {
  const full = Math.floor(share * width);
  return `[${"#".repeat(full)}${".".repeat(width - full)}]`;
}

function rateLine(progress: Progress): string {
  const left = progress.tasksTotal - progress.tasksDone;
  const parts = [
    `${wholeNumber(progress.documentsDone)}/${wholeNumber(progress.documentsTotal)} documents`,
    `${progress.tasksPerSecond.toFixed(1)} tasks/s`,
    durationText(progress.elapsedMs),
  ];
  if (left > 0 && progress.tasksPerSecond > 0) {
    parts.push(`${durationText((left / progress.tasksPerSecond) * 1_000)} left`);
  }
  return parts.join(", ");
}

function agentLine(agent: AgentLoad, width: number): string {
  const slots = Math.min(loadSlots, Math.max(1, agent.capacity));
  const busy = Math.min(slots, Math.ceil((agent.running / Math.max(1, agent.capacity)) * slots));
  const load = `[${"=".repeat(busy)}${" ".repeat(slots - busy)}]`.padEnd(loadSlots + 2);
  const name = fitText(agent.name, width).padEnd(width);
  const done = wholeNumber(agent.done).padStart(6);
  return `  ${name} ${load} ${agent.status.padEnd(9)} ${done} done  ${agent.doing ?? ""}`;
}
