/** What the driver's tests share: events, specs, and one delivery at a time. */
import {
  createEvent,
  secureRandom,
  systemClock,
  type AgentEvent,
  type ConsumeSpec,
  type Intake,
  type Lease,
} from "cadre";

export function makeEvent(type: string, payload: unknown = {}): AgentEvent {
  return createEvent({ clock: systemClock, random: secureRandom, source: "test" }, type, payload);
}

/** A group over all types whose first word is its name. */
export function specOf(subscription: string, changes: Partial<ConsumeSpec> = {}): ConsumeSpec {
  const patterns = [`${subscription}.#`];
  return {
    subscription,
    mode: "group",
    patterns,
    definition: JSON.stringify(patterns),
    from: "new",
    leaseMs: 5_000,
    maxQueued: 1_000,
    ...changes,
  };
}

export async function takeOne(intake: Intake, withinMs = 5_000): Promise<Lease | undefined> {
  const [lease] = await intake.pull(1, AbortSignal.timeout(withinMs));
  return lease;
}
