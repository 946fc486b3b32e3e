/**
 * New code over running work: which of an agent's handlers goes on with a task of some version, and
 * which tasks none of them can.
 */
import type { AnyAgent, TaskWork } from "./agent.ts";
import type { TaskState } from "./task.ts";

/** Running work that the code of a team knows by name, and cannot go on with. */
export interface StrandedWork {
  readonly name: string;
  readonly version: string;
  readonly count: number;
}

/** The handler for exactly this version, or else one that says that it resumes it. */
export function workFor(
  agent: AnyAgent,
  { name, version }: Pick<TaskState, "name" | "version">,
): TaskWork | undefined {
  let resuming: TaskWork | undefined;
  for (const work of agent.tasks) {
    if (work.definition.name !== name) continue;
    if (work.definition.version === version) return work;
    if (work.definition.resumes?.includes(version)) resuming ??= work;
  }
  return resuming;
}

/**
 * Open tasks whose name these agents know, in versions that none of them takes, by name and
 * version. Work that other code does is none of their business.
 */
export function strandedWork(
  agents: readonly AnyAgent[],
  open: Iterable<TaskState>,
): readonly StrandedWork[] {
  const names = new Set(agents.flatMap(({ tasks }) => tasks.map((work) => work.definition.name)));
  const found = new Map<string, StrandedWork>();
  for (const state of open) {
    const { name, version } = state;
    if (!names.has(name) || agents.some((agent) => workFor(agent, state))) continue;
    const key = `${name}@${version}`;
    found.set(key, { name, version, count: (found.get(key)?.count ?? 0) + 1 });
  }
  return [...found.values()].sort((left, right) => (nameOf(left) < nameOf(right) ? -1 : 1));
}

function nameOf({ name, version }: StrandedWork): string {
  return `${name}@${version}`;
}
