/** What older programs say, as it was recorded, and one that answers in their words. */
import { readFileSync } from "node:fs";
import { systemClock } from "cadre";

/** A line each, byte for byte as a Python program has written it. */
export const recorded: readonly string[] = readFileSync(
  new URL("../fixtures/maf-recorded.jsonl", import.meta.url),
  "utf8",
)
  .trim()
  .split("\n");

/** What Cadre takes each of them for. */
export const meant: readonly string[] = [
  "agent.online",
  "task.created",
  "task.assigned",
  "task.started",
  "agent.heartbeat",
  "status.updated",
  "custom.code_review_requested",
  "task.completed",
  "system.health_check",
];

export interface OlderMessage {
  readonly event_id: string;
  readonly event_type: string;
  readonly source: string;
  readonly target: string | null;
  readonly payload: Record<string, unknown>;
}

let count = 0;

/** An answer as a Python program writes it: naive time with microseconds, spaces after colons. */
export function pythonLine(type: string, source: string, payload: object): string {
  count += 1;
  const timestamp = new Date(systemClock.now()).toISOString().replace("Z", "417");
  const message = {
    event_id: `py-${count}`,
    event_type: type,
    timestamp,
    source,
    target: null,
    payload,
  };
  return JSON.stringify(message, undefined, 1).replaceAll(/\n\s*/g, " ");
}

/** What the older coder says when it is asked: it starts, beats, and is done. */
export function answersOf(line: string): readonly string[] {
  const message = JSON.parse(line) as OlderMessage;
  if (message.event_type !== "TASK_ASSIGNED" || message.target !== "CoderAgent") return [];
  const { task_id } = message.payload;
  return [
    pythonLine("TASK_STARTED", "CoderAgent", { task_id }),
    pythonLine("AGENT_HEARTBEAT", "CoderAgent", { agent_id: "CoderAgent", status: "busy" }),
    pythonLine("TASK_COMPLETED", "CoderAgent", { task_id, result: { patch: "+1" } }),
  ];
}
