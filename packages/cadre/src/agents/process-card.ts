/**
 * What a process says of itself on its agents' cards, and what it can find out about others on the
 * same machine.
 */
import { hostname } from "node:os";
import { monitorEventLoopDelay, type ELDHistogram } from "node:perf_hooks";

import { systemClock, type Clock } from "../core/clock.ts";
import type { AgentCard, Presence, ProcessMemory } from "./directory.ts";
import { processOf, type AgentPart } from "./health/beat.ts";
import type { GoneProbe, PresenceObserver } from "./presence.ts";
import { teamEvent, type TeamContext } from "./team-context.ts";

const nanosecondsPerMs = 1e6;
const host = hostname(); // asked for at every beat and every look: a call of the system each time

/** The part of a card that the process knows. Measures the event loop until it is closed. */
export class ProcessCard {
  readonly #lag: ELDHistogram | undefined;

  /** @param clock on any clock but the machine's, the machine's lateness says nothing */
  constructor(clock: Clock) {
    if (clock !== systemClock) return;
    this.#lag = monitorEventLoopDelay({ resolution: 20 });
    this.#lag.enable();
  }

  read(): Pick<AgentCard, "pid" | "host" | "loopLagMs" | "memory"> {
    const lagNs = this.#lag?.percentile(99) ?? 0;
    this.#lag?.reset();
    return {
      pid: process.pid,
      host,
      // On a clock that isn't the machine's, a run must say the same each time.
      ...(this.#lag === undefined ? {} : { memory: memoryNow() }),
      loopLagMs: Number.isFinite(lagNs) ? Math.round(lagNs / nanosecondsPerMs) : 0,
    };
  }

  close(): void {
    this.#lag?.disable();
  }
}

function memoryNow(): ProcessMemory {
  const { heapUsed } = process.memoryUsage();
  return { rssBytes: process.memoryUsage.rss(), heapBytes: heapUsed };
}

/**
 * Finds at once that a process of this machine is gone, so that a restart after a crash need not
 * wait a lease. It only ever shortens the wait: a process that is there, or is another machine's,
 * is judged by its beats. A task whose owner is wrongly thought gone is still fenced by its epoch.
 */
export const processProbe: GoneProbe = (card) => {
  if (card.pid === undefined || card.host !== host || card.pid === process.pid) return false;
  try {
    process.kill(card.pid, 0); // asks only whether it is there
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
};

const edges: Readonly<Record<Presence, string>> = {
  online: "agent.online",
  suspected: "agent.suspected_failure",
  dead: "agent.offline",
  returned: "agent.recovered",
  left: "agent.offline",
};

/**
 * Publishes the edges of the agents' presence, as this process sees them. Several processes see the
 * same edge: the event's id follows from the agent, the incarnation and the edge's number, so that
 * a log keeps one.
 */
export function announcePresence(context: TeamContext, presence: PresenceObserver): () => void {
  return presence.watch(({ card, presence: now, silentMs }, before) => {
    const own = processOf(card.incarnation) === context.incarnation;
    // An agent announces itself; others only say what it cannot.
    if (own ? now !== "online" : now === "online" || now === "left") return;
    const type = edges[now];
    const payload = {
      agentId: card.agent,
      agent: card.agent,
      incarnation: card.incarnation,
      capabilities: card.capabilities,
      capacity: card.capacity,
      status: now,
      ...(before === undefined ? {} : { before }),
      ...(own ? {} : { silentMs: Math.round(silentMs) }),
    };
    const id = `${type}/${card.agent}/${card.incarnation}/${card.beatAt}`;
    const event = teamEvent(context, own ? card.agent : context.name, type, payload, { id });
    context.bus.publishEvent(event).catch((error: unknown) => {
      context.logger.warn("A change of presence could not be published.", {
        agent: card.agent,
        error,
      });
    });
  });
}

/** Publishes that the agents of this process have left in order. Never rejects. */
export async function sayGoodbye(context: TeamContext, cards: readonly AgentPart[]): Promise<void> {
  const said = cards.map((card) => {
    const { agent, incarnation, capabilities, capacity } = card;
    const payload = { agentId: agent, agent, incarnation, capabilities, capacity, status: "left" };
    const id = `agent.offline/${agent}/${incarnation}/left`;
    return context.bus.publishEvent(teamEvent(context, agent, "agent.offline", payload, { id }));
  });
  const results = await Promise.allSettled(said);
  const failed = results.find(({ status }) => status === "rejected");
  if (!failed || failed.status !== "rejected") return;
  context.logger.warn("That agents have left could not be published.", { error: failed.reason });
}
