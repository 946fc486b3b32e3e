import type { Bus } from "../bus/bus.ts";
import type { Guard } from "../bus/guard.ts";
import type { Clock } from "../core/clock.ts";
import { createEvent, type AgentEvent, type EventOptions } from "../core/event.ts";
import type { Logger } from "../core/logger.ts";
import type { Random } from "../core/random.ts";
import type { TeamModels } from "./models/team-models.ts";
import type { RateLimits } from "./health/rate-limits.ts";
import type { Weigh } from "./proposals/proposal.ts";
import type { Trust } from "./trust/trust.ts";
import type { EventStore } from "../store/event-store.ts";

/** What all parts of one running team share. */
export interface TeamContext {
  readonly name: string;
  /** Of this run of this process. */
  readonly incarnation: string;
  readonly store: EventStore;
  readonly bus: Bus;
  /** Whether what the bus carries is in the store's log. */
  readonly sameLog: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly heartbeatMs: number;
  readonly suspectAfterMs: number;
  readonly leaseMs: number;
  /** Events after which a projection notes where the next start may begin to read. */
  readonly markEvery?: number;
  /** Shared by all processes of the store. */
  readonly limits: RateLimits;
  readonly models: TeamModels;
  /** Of votes, where nobody says otherwise. */
  readonly weigh?: Weigh;
  /** Who may do what, and who signs; only where that is on. */
  readonly guard?: Guard | undefined;
  /** Scores of agents; only where they are kept. */
  readonly trust?: Trust | undefined;
  /** Strict mode, and who is told of a handler that differs. */
  readonly strict?: (difference: Error) => void;
}

/** Makes an event of the team's own kinds, signed where its source's key is here. */
export function teamEvent(
  context: Pick<TeamContext, "clock" | "random" | "guard">,
  source: string,
  type: string,
  payload: Readonly<Record<string, unknown>>,
  options: EventOptions = {},
): AgentEvent {
  const { clock, random, guard } = context;
  const event = createEvent({ clock, random, source }, type, payload, options);
  return guard ? guard.sealFor(event) : event;
}
