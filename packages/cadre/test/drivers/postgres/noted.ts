import { createEvent, systemClock, type AgentEvent } from "cadre";
import { secureRandom } from "#src/core/random.ts";

/** A finished event with a new id. */
export function noted(payload: unknown = {}, type = "test.noted"): AgentEvent {
  return createEvent({ clock: systemClock, random: secureRandom, source: "test" }, type, payload);
}
