/** The older envelopes, written and read. */
import { SeededRandom, VirtualClock, wireFormat, type AgentEvent } from "cadre";

export const receivedAt = 1_700_000_000_000;

export const context = {
  clock: new VirtualClock(1_700_000_000_123),
  random: new SeededRandom(7),
  source: "planner",
};

export function bodyOf(event: AgentEvent, name: "maf" | "platform"): Record<string, unknown> {
  const { body } = wireFormat(name).encode(event);
  return JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>;
}

export function read(message: unknown): AgentEvent {
  const text = typeof message === "string" ? message : JSON.stringify(message);
  return wireFormat("maf").decode({ body: new TextEncoder().encode(text) }, { receivedAt });
}
