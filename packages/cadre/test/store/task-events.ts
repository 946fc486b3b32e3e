/** Events of tasks, as they are written for a projection to fold. */
import { createEvent, defineProjection, SeededRandom, VirtualClock } from "cadre";
import type { AgentEvent, EventStore, Projection } from "cadre";

export const clock = new VirtualClock();
const random = new SeededRandom(1);

export function event(type: string, payload: unknown = {}): AgentEvent {
  return createEvent({ clock, random, source: "test" }, type, payload);
}

export function created(id: string): AgentEvent {
  return event("task.created", { id, title: `do ${id}` });
}

/** Returns the position of the last. */
export async function write(store: EventStore, ...events: AgentEvent[]): Promise<number> {
  const { position } = await store.commit({ outbox: events });
  return position;
}

export const counter: Projection<number> = defineProjection({
  name: "counter",
  initial: 0,
  patterns: ["task.#"],
  apply: (count) => count + 1,
});
