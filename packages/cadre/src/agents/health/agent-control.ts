/** `team.agents`: pauses, resumes, drains, restarts and puts to sleep, in whichever process. */
import { CadreError } from "../../core/errors.ts";
import { checkOptions, someText, wholeNumber } from "../../core/options.ts";
import { isPassing } from "../passing-trouble.ts";
import type { PresenceObserver } from "../presence.ts";
import type { TeamContext } from "../team-context.ts";
import { readWishes, wishFor, type AgentWish, type KnownWish } from "./agent-wish.ts";
import type { RunningAgent } from "./running-agent.ts";

export interface AgentOrder {
  /** For people: it is on the card and in the event. */
  readonly reason?: string;
}

/**
 * Orders to agents by name, whichever processes they run in. A call resolves when the order is on
 * record and the agent of this process, if it has one, has obeyed; others obey within a heartbeat.
 * Orders last over restarts of processes until another order comes.
 *
 * @throws {CadreError} NOT_FOUND, when no agent of that name is here or has a card
 */
export interface AgentOrders {
  /** It claims and hears nothing new; what runs goes on. */
  pause(name: string, order?: AgentOrder): Promise<void>;
  /** Ends a pause, a sleep, or a drain: a stopped agent begins a new incarnation. */
  resume(name: string, order?: AgentOrder): Promise<void>;
  /** Nothing new; when what runs has ended, or at the deadline was given back, it has stopped. */
  drain(name: string, order?: AgentOrder & { readonly deadlineMs?: number }): Promise<void>;
  /** Begins a new incarnation; what does not end within a second is given back. */
  restart(name: string, order?: AgentOrder): Promise<void>;
  /** Paused until an instant in Unix milliseconds, which its card shows. */
  sleep(name: string, order: AgentOrder & { readonly until: number }): Promise<void>;
}

export class AgentControl implements AgentOrders {
  readonly #context: TeamContext;
  readonly #presence: PresenceObserver;
  readonly #agents: ReadonlyMap<string, RunningAgent>;
  /** Versions of the wishes that were obeyed, and how many restarts they ask for. */
  readonly #obeyed = new Map<string, { readonly version: number; readonly restarts: number }>();

  constructor(
    context: TeamContext,
    presence: PresenceObserver,
    agents: ReadonlyMap<string, RunningAgent>,
  ) {
    this.#context = context;
    this.#presence = presence;
    this.#agents = agents;
  }

  pause(name: string, order: AgentOrder = {}): Promise<void> {
    checkOrder("pause", order);
    return this.#order(name, () => ({ state: "paused", ...order }));
  }

  resume(name: string, order: AgentOrder = {}): Promise<void> {
    checkOrder("resume", order);
    return this.#order(name, () => ({ state: "running", ...order }));
  }

  drain(name: string, order: AgentOrder & { readonly deadlineMs?: number } = {}): Promise<void> {
    checkOrder("drain", order, { deadlineMs: wholeNumber(0) });
    return this.#order(name, () => ({ state: "stopped", ...order }));
  }

  restart(name: string, order: AgentOrder = {}): Promise<void> {
    checkOrder("restart", order);
    return this.#order(name, ({ restarts }) => ({ ...order, restarts: restarts + 1 }));
  }

  sleep(name: string, order: AgentOrder & { readonly until: number }): Promise<void> {
    checkOrder("sleep", order, { until: wholeNumber(0) });
    return this.#order(name, () => ({ state: "asleep", ...order }));
  }

  /** What is on record at the start; nothing has to be ended for that. */
  async begin(): Promise<void> {
    if (this.#agents.size === 0) return;
    for (const { agent, version, wish } of await readWishes(this.#context.store)) {
      this.#obeyed.set(agent, { version, restarts: wish.restarts });
      this.#agents.get(agent)?.startAs(awake(wish, this.#context.clock.now()));
    }
  }

  /** What has been ordered since; called at each beat. Never rejects. */
  async look(): Promise<void> {
    if (this.#agents.size === 0) return;
    try {
      const wishes = await readWishes(this.#context.store);
      await Promise.all(wishes.map((known) => this.#obey(known)));
    } catch (error) {
      if (isPassing(error)) return;
      this.#context.logger.warn("Orders to agents could not be read.", { error });
    }
  }

  async #order(name: string, change: (before: AgentWish) => Partial<AgentWish>): Promise<void> {
    if (!this.#agents.has(name)) {
      const known = (): boolean => this.#presence.find({ agent: name }).length > 0;
      if (!known()) await this.#presence.look();
      if (!known()) noAgent(name);
    }
    await this.#obey(await wishFor(this.#context, name, change));
  }

  async #obey({ agent, version, wish }: KnownWish): Promise<void> {
    const known = this.#obeyed.get(agent) ?? { version: 0, restarts: 0 };
    if (known.version >= version) return;
    this.#obeyed.set(agent, { version, restarts: wish.restarts });
    const running = this.#agents.get(agent);
    if (!running) return;
    if (wish.restarts > known.restarts) await running.restart(wish.reason ?? "by order");
    if (wish.restarts === known.restarts || wish.state !== "running") {
      await running.obey(awake(wish, this.#context.clock.now()));
    }
  }
}

function awake(wish: AgentWish, now: number): AgentWish {
  const isOver = wish.state === "asleep" && (wish.until ?? 0) <= now;
  return isOver ? { ...wish, state: "running" } : wish;
}

function checkOrder(what: string, order: object, more: object = {}): void {
  checkOptions(`agents.${what}`, order, { reason: someText, ...more });
}

/** @throws {CadreError} NOT_FOUND */
function noAgent(name: string): never {
  throw new CadreError("NOT_FOUND", `No agent named "${name}" has a card in this store.`, {
    what: "agent",
    id: name,
  });
}
