/**
 * The lineage of what a task proposes: the agents that have worked on it, and so may not judge it.
 *
 *   ancestors   parent, its parent … : every agent that has ever claimed one of them
 *   the task    every agent that has ever claimed it, whichever attempt or incarnation
 *   descendants its children, their children … , as far as they were claimed until now
 *
 * Not the siblings: other children of an ancestor have not produced what is proposed. Names count
 * and not incarnations, so an agent that was restarted is still its own author. All of a family
 * are of one flow, so the flow's creations and claims say it all.
 */
import type { EventStore } from "../../store/event-store.ts";

interface Family {
  readonly parents: Map<string, string>;
  readonly agents: Map<string, Set<string>>;
}

/** Sorted names of the agents in the lineage of a task. */
export async function lineageOf(
  store: EventStore,
  taskId: string,
  correlationId: string,
): Promise<readonly string[]> {
  const family = await readFamily(store, correlationId);
  const names = new Set<string>();
  for (const id of relatives(family.parents, taskId)) {
    for (const agent of family.agents.get(id) ?? []) names.add(agent);
  }
  return [...names].sort();
}

async function readFamily(store: EventStore, correlationId: string): Promise<Family> {
  const parents = new Map<string, string>();
  const agents = new Map<string, Set<string>>();
  for await (const { event } of store.read({ correlationId, type: "task.created" })) {
    const { taskId, parent } = event.payload as { taskId: string; parent?: string };
    if (parent !== undefined) parents.set(taskId, parent);
  }
  for await (const { event } of store.read({ correlationId, type: "task.claimed" })) {
    const { taskId, agent } = event.payload as { taskId: string; agent: string };
    const known = agents.get(taskId);
    if (known) known.add(agent);
    else agents.set(taskId, new Set([agent]));
  }
  return { parents, agents };
}

function relatives(parents: ReadonlyMap<string, string>, taskId: string): ReadonlySet<string> {
  const found = new Set([taskId]);
  for (let id = parents.get(taskId); id !== undefined && !found.has(id); id = parents.get(id)) {
    found.add(id);
  }
  const children = new Map<string, string[]>();
  for (const [child, parent] of parents) {
    children.set(parent, [...(children.get(parent) ?? []), child]);
  }
  const below = [...(children.get(taskId) ?? [])];
  for (let id = below.pop(); id !== undefined; id = below.pop()) {
    if (found.has(id)) continue;
    found.add(id);
    below.push(...(children.get(id) ?? []));
  }
  return found;
}
