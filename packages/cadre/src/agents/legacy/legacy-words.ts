/** What an older agent says, in the words of tasks; and what it is told. */
import type { AgentEvent } from "../../core/event.ts";
import type { JsonValue } from "../../core/json.ts";
import type { TaskState } from "../task.ts";

/** Beginning of the ids of tasks that older programs have created. */
const foreignPrefix = "legacy-";

/** The id that older programs know a task by: their own for a task of theirs. */
export function wireIdOf(taskId: string): string {
  return taskId.startsWith(foreignPrefix) ? taskId.slice(foreignPrefix.length) : taskId;
}

/** The id of the task that an older program has created. */
export function foreignTaskId(wireId: string): string {
  return foreignPrefix + wireId;
}

/** Whether an older program has created the task. */
export function isForeign(taskId: string): boolean {
  return taskId.startsWith(foreignPrefix);
}

export type Members = Readonly<Record<string, JsonValue>>;

export function membersOf(payload: unknown): Members {
  const isObject = typeof payload === "object" && payload !== null && !Array.isArray(payload);
  return isObject ? (payload as Members) : {}; // an event holds nothing but JSON
}

function firstText(members: Members, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = members[name];
    if (typeof value === "string" && value !== "") return value;
    if (typeof value === "number") return String(value);
  }
  return undefined;
}

/** What an event of an older agent is about. */
export interface LegacyReport {
  /** As older programs know it. */
  readonly wireId: string | undefined;
  readonly agent: string;
  /** The number of the assignment that the agent was told, if it says it again. */
  readonly assignment: number | undefined;
}

/** `task_id`, `taskId` or `id`; `agent_id`, `agent` or who has sent it; `assignment`. */
export function readReport(event: AgentEvent): LegacyReport {
  const members = membersOf(event.payload);
  const { assignment } = members;
  return {
    wireId: firstText(members, "task_id", "taskId", "id"),
    agent: firstText(members, "agent_id", "agent", "assigned_to") ?? event.source,
    assignment: typeof assignment === "number" ? assignment : undefined,
  };
}

/** What stands in TASK_CREATED and TASK_ASSIGNED unless the bridge is told otherwise. */
export function describeTask(
  task: TaskState,
  assignment: number,
  agent: string | undefined,
): Members {
  return {
    task_id: wireIdOf(task.id),
    task_type: task.name,
    parameters: task.input,
    priority: task.priority,
    assignment,
    ...(agent === undefined ? {} : { agent_id: agent }),
  };
}

/** The result in TASK_COMPLETED: its `result` or `output`, else all of it. */
export function resultOf(event: AgentEvent): JsonValue {
  const members = membersOf(event.payload);
  return members["result"] ?? members["output"] ?? (event.payload as JsonValue);
}

/** Why it has failed, in its own words. */
export function failureOf(event: AgentEvent): {
  readonly message: string;
  readonly final: boolean;
} {
  const members = membersOf(event.payload);
  const error = members["error"];
  const message =
    firstText(members, "error", "error_message", "message", "reason") ??
    firstText(membersOf(error), "message") ??
    "no reason given";
  return { message, final: members["retryable"] === false || members["final"] === true };
}

/** How far it is, 0 to 1: as a share, or in percent. */
export function progressOf(event: AgentEvent): number | undefined {
  const members = membersOf(event.payload);
  const said = members["progress"] ?? members["percent"];
  if (typeof said !== "number" || !(said >= 0) || said > 100) return undefined;
  return said > 1 ? said / 100 : said;
}

/** An event of ours about a task, as older programs expect it. */
export function tellTask(event: AgentEvent, wireId: string): Members {
  const { taskId: _ours, agent, result, error, progress, ...rest } = membersOf(event.payload);
  const { input, name } = rest;
  return {
    task_id: wireId,
    ...(agent === undefined ? {} : { agent_id: agent }),
    ...(result === undefined ? {} : { result }),
    ...(error === undefined ? {} : { error: membersOf(error)["message"] ?? error }),
    ...(progress === undefined ? {} : { progress }),
    ...(name === undefined ? {} : { task_type: name }),
    ...(input === undefined ? {} : { parameters: input }),
  };
}
