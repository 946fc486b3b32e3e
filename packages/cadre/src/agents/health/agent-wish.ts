/**
 * What people want of an agent: a slot for each agent's name, which every process that runs it
 * obeys within a heartbeat. It lasts: an agent that was paused is paused when its process comes
 * back, until somebody resumes it.
 */
import type { Clock } from "../../core/clock.ts";
import { CadreError, isCadreError } from "../../core/errors.ts";
import type { EventStore } from "../../store/event-store.ts";

export const wishPrefix = "agent-wish/";

export interface AgentWish {
  readonly state: "running" | "paused" | "asleep" | "stopped";
  readonly reason?: string;
  /** Unix milliseconds, with `asleep`. */
  readonly until?: number;
  /** With `stopped`: what still runs then is given back. @default none */
  readonly deadlineMs?: number;
  /** How often a restart was asked for. */
  readonly restarts: number;
  /** Unix milliseconds at which it was said. */
  readonly at: number;
}

/** The wish, if it is for a pause or a sleep. */
export function restIn(wish: AgentWish): AgentWish | undefined {
  return wish.state === "paused" || wish.state === "asleep" ? wish : undefined;
}

export interface KnownWish {
  readonly agent: string;
  readonly version: number;
  readonly wish: AgentWish;
}

const tries = 20; // several people at one agent at one time

export async function readWishes(store: EventStore): Promise<readonly KnownWish[]> {
  const slots = await store.slots(wishPrefix);
  return slots.map(({ name, value, version }) => ({
    agent: name.slice(wishPrefix.length),
    version,
    // Written below; nothing else writes under this prefix.
    wish: JSON.parse(value) as AgentWish,
  }));
}

/** Puts on record what is wanted of an agent, as of what is wanted now. */
export async function wishFor(
  parts: { readonly store: EventStore; readonly clock: Clock },
  agent: string,
  change: (before: AgentWish) => Partial<AgentWish>,
): Promise<KnownWish> {
  const { store, clock } = parts;
  const name = wishPrefix + agent;
  for (let left = tries; left > 0; left -= 1) {
    const slot = await store.slot(name);
    const before: AgentWish = slot
      ? (JSON.parse(slot.value) as AgentWish)
      : { state: "running", restarts: 0, at: 0 };
    const { restarts, state } = before;
    const wish: AgentWish = { restarts, state, ...change(before), at: clock.now() };
    const version = slot?.version ?? 0;
    try {
      const value = JSON.stringify(wish);
      await store.commit({ slots: [{ name, expectedVersion: version, value }] });
      return { agent, version: version + 1, wish };
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT")) throw error;
    }
  }
  throw new CadreError("OVERLOADED", `Too many others give orders to "${agent}". Try again.`, {
    queue: name,
    size: tries,
  });
}
