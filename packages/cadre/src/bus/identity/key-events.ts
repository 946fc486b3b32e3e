/** Changes of keys, as events that the keys themselves sign. */
import { createEvent, type AgentEvent } from "../../core/event.ts";
import type { Clock } from "../../core/clock.ts";
import { secureRandom } from "../../core/random.ts";
import type { Identity } from "./identity.ts";
import { revokedType, rotatedType } from "./key-change.ts";
import { signEvent } from "./signed-event.ts";

export interface KeyRotation {
  readonly agent: string;
  /** The key that is given up: it signs for its successor. */
  readonly from: Identity;
  /** The DID of the new one. */
  readonly to: string;
  /** How long both count, in milliseconds, for what is under way. @default 86_400_000, a day */
  readonly overlapMs?: number;
}

export interface KeyRevocation {
  readonly agent: string;
  readonly did: string;
  /** A key of the agent, or one that may sign for every name. */
  readonly by: Identity;
  readonly reason?: string;
  /**
   * From when on nothing of it counts; 0 is for all that it has ever signed. @default now: what was
   * written, and taken by the carrier, before this instant holds
   */
  readonly at?: number;
}

const dayMs = 86_400_000; // what waits in a queue for longer is rare, and can be signed again

/**
 * `identity.rotated`, signed: publish it, or commit it to the store, and whoever hears of it trusts
 * the new key from now on.
 */
export function keyRotated(
  { agent, from, to, overlapMs = dayMs }: KeyRotation,
  clock: Clock,
): AgentEvent {
  const at = clock.now();
  const payload = { agent, from: from.did, to, at, until: at + overlapMs };
  const event = createEvent({ clock, random: secureRandom, source: agent }, rotatedType, payload);
  return signEvent(event, from);
}

/** `identity.revoked`, signed: from `at` on nothing counts that the key has signed. */
export function keyRevoked(given: KeyRevocation, clock: Clock): AgentEvent {
  const { agent, did, by, reason, at = clock.now() } = given;
  const why = reason === undefined ? {} : { reason };
  const payload = { agent, did, at, ...why };
  const event = createEvent({ clock, random: secureRandom, source: agent }, revokedType, payload);
  return signEvent(event, by);
}
