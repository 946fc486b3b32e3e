/**
 * Presence: the heartbeat of each process is a write to its slot, and everybody watches everybody's
 * slots.
 *
 *   online ──silent, suspectAfterMs──▶ suspected ──silent, leaseMs──▶ dead ──beats──▶ returned
 *      └────────── says goodbye ─────────▶ left
 *
 * A lease ends by the observer's monotonic time since it last saw the slot change, never by
 * comparing two machines' clocks. An observer that was blind itself (just started, paused, its
 * store lost) watches one whole window before any verdict. Beats are slots and not events: they
 * would be most of the log and nobody replays them. The edges are events.
 *
 * A look costs the slots that have changed and the processes that are silent, not the agents.
 */
import type { AgentCard, Directory, DirectoryChange } from "./directory.ts";
import { fitsQuery, type DirectoryEntry, type DirectoryQuery, type Presence } from "./directory.ts";
import { CardIndex, SharedKinds, type SeenAgent, type SeenProcess } from "./health/card-index.ts";
import { cardsSlot, placeOf, presencePrefix, processOf, pulseSlot } from "./health/beat.ts";
import type { AgentPart, PresenceSlot, Pulse } from "./health/beat.ts";
import type { TeamContext } from "./team-context.ts";

/**
 * Whether the process behind a card is known to be gone, so that nobody has to wait for its
 * silence.
 */
export type GoneProbe = (card: Pick<AgentCard, "pid" | "host">) => boolean;

type EdgeListener = (entry: DirectoryEntry, before: Presence | undefined) => void;

/** The answer to a query, as it was told last. */
interface Follower {
  readonly query: DirectoryQuery;
  readonly listener: (change: DirectoryChange) => void;
  readonly members: Set<SeenAgent>;
}

/** An owner without a card. */
interface Missing {
  since: number;
  /** Whether anybody asked about it since the last look. */
  asked: boolean;
  /** The look after which it was missed first. */
  readonly look: number;
}

/** By agent, then by incarnation. */
function byName({ card: left }: DirectoryEntry, { card: right }: DirectoryEntry): number {
  if (left.agent !== right.agent) return left.agent < right.agent ? -1 : 1;
  return left.incarnation < right.incarnation ? -1 : 1;
}

const fullKeyOf = (agent: string, incarnation: string): string => `${agent}/${incarnation}`;

/** Within its process; the first incarnation has none but its name, which is there already. */
const keyOf = ({ agent, incarnation }: Pick<AgentCard, "agent" | "incarnation">): string =>
  incarnation.includes(".") ? fullKeyOf(agent, incarnation) : agent;

export class PresenceObserver implements Directory {
  readonly #context: TeamContext;
  readonly #isGone: GoneProbe;
  readonly #leases: ((agent: string, incarnation: string) => number) | undefined;
  readonly #nameOf: (agent: string) => string;
  readonly #processes = new Map<string, SeenProcess>();
  readonly #index = new CardIndex();
  readonly #listeners = new Set<EdgeListener>();
  readonly #followers = new Set<Follower>();
  readonly #missing = new Map<string, Missing>();
  #lastLookAt: number | undefined;
  #looks = 0;
  #distrusted = false;

  /**
   * @param leases tasks that an agent holds, by the log; without it its card is believed
   * @param nameOf the name as this process has it already, so that it is in memory once
   */
  constructor(
    context: TeamContext,
    isGone: GoneProbe = () => false,
    leases?: (agent: string, incarnation: string) => number,
    nameOf: (agent: string) => string = (agent) => agent,
  ) {
    this.#context = context;
    this.#isGone = isGone;
    this.#leases = leases;
    this.#nameOf = nameOf;
  }

  find(query: DirectoryQuery = {}): readonly DirectoryEntry[] {
    const entries: DirectoryEntry[] = [];
    const { capability } = query;
    for (const agent of capability === undefined ? this.#all() : this.#index.offering(capability)) {
      const entry = this.#entryOf(agent);
      if (fitsQuery(entry, query)) entries.push(entry);
    }
    return entries.sort(byName);
  }

  watch(
    first: EdgeListener | DirectoryQuery,
    listener?: (change: DirectoryChange) => void,
  ): () => void {
    if (typeof first === "function") {
      this.#listeners.add(first);
      return () => void this.#listeners.delete(first);
    }
    const follower: Follower = { query: first, listener: listener!, members: new Set() };
    this.#followers.add(follower);
    for (const agent of this.#all()) this.#follow(follower, agent);
    return () => void this.#followers.delete(follower);
  }

  /** Whether another process than `own` has a living agent with the capability. */
  offeredElsewhere(capability: string, own: string): boolean {
    for (const id of this.#index.processes(capability)) {
      const process = this.#processes.get(id);
      if (id !== own && process && process.presence !== "dead") return true;
    }
    return false;
  }

  /** Whether a living agent with the capability takes work. */
  isServed(capability: string): boolean {
    for (const { kind, presence } of this.#index.offering(capability)) {
      if (presence !== "dead" && kind.traits.state === "running") return true;
    }
    return false;
  }

  /**
   * Whether the owner of a lease has been silent for a whole lease, as far as this observer could
   * see, or has a successor in its process.
   */
  isDead(agent: string, incarnation: string): boolean {
    const process = this.#processes.get(processOf(incarnation));
    const seen = process?.agents.get(keyOf({ agent, incarnation }));
    if (process && seen) {
      if (seen.presence === "dead" || seen.presence === "left") return true;
      // A sleeper may be silent for long; what it still holds has its lease like anything else.
      return (this.#lastLookAt ?? 0) - process.lastChangeAt >= this.#context.leaseMs;
    }
    const now = this.#context.clock.monotonic();
    const key = fullKeyOf(agent, incarnation);
    const { since, look } = this.#missing.get(key) ?? { since: now, look: this.#looks };
    this.#missing.set(key, { since, asked: true, look });
    // Its process beats without it: one more look, for a claim that was seen before its card.
    if (process && process.presence !== "dead" && this.#looks > look + 1) return true;
    return now - since >= this.#context.leaseMs;
  }

  /** The observer's own process has trouble: at the next look it begins a new window. */
  distrust(): void {
    this.#distrusted = true;
  }

  /** Reads all slots and moves every agent along. Rejects when the store does. */
  async look(): Promise<void> {
    const askedAt = this.#context.clock.monotonic();
    // Who is gone before the question, and in the answer, has not said goodbye.
    const wasGone = new Map<string, boolean>();
    for (const [id, { presence, pulse }] of this.#processes) {
      wasGone.set(id, presence !== "dead" && this.#isGone(pulse));
    }
    const slots = await this.#context.store.slots(presencePrefix);
    const now = this.#context.clock.monotonic();
    const blindMs = Math.max(now - askedAt, askedAt - (this.#lastLookAt ?? askedAt));
    // A paused observer saw nobody's beats: their silence is its own.
    if (this.#distrusted || blindMs > this.#context.suspectAfterMs / 2) this.#forgive(now);
    this.#distrusted = false;
    this.#lastLookAt = askedAt;
    this.#looks += 1;
    this.#forgetMissing();
    const present = new Set<string>();
    for (const slot of slots) {
      const { process, part } = placeOf(slot.name);
      if (part !== undefined) continue;
      present.add(process);
      this.#seePulse(process, slot, now);
    }
    for (const slot of slots) this.#seeCards(slot);
    for (const [id, process] of this.#processes) {
      // What is written while the answer is on its way is not in it: silence ends at the question.
      const isGone = wasGone.get(id) ?? this.#isGone(process.pulse);
      if (present.has(id)) this.#judge(process, askedAt, isGone);
      else this.#leave(id, process);
    }
  }

  /** Processes that have been dead for so long, each with the version of its last pulse. */
  *longDead(silentMs: number): Generator<{ readonly process: string; readonly version: number }> {
    const now = this.#context.clock.monotonic();
    for (const [process, { presence, version, lastChangeAt, parts }] of this.#processes) {
      if (parts.size > 0 && presence !== "dead") continue;
      if (now - lastChangeAt >= silentMs) yield { process, version };
    }
  }

  /** Its slots' names, pulse first. */
  slotsOf(process: string): readonly string[] {
    const parts = [...(this.#processes.get(process)?.parts.keys() ?? [])];
    return [pulseSlot(process), ...parts.map((part) => cardsSlot(process, part))];
  }

  *#all(): Generator<SeenAgent> {
    for (const { agents } of this.#processes.values()) yield* agents.values();
  }

  /** An owner that nobody asks about between two looks owns nothing any more. */
  #forgetMissing(): void {
    for (const [key, missing] of this.#missing) {
      if (missing.asked) missing.asked = false;
      else this.#missing.delete(key);
    }
  }

  #forgive(now: number): void {
    for (const process of this.#processes.values()) process.lastChangeAt = now;
    for (const missing of this.#missing.values()) missing.since = now;
  }

  #seePulse(id: string, slot: PresenceSlot, now: number): void {
    const known = this.#processes.get(id);
    if (known?.version === slot.version) return;
    const pulse = JSON.parse(slot.value) as Pulse;
    if (!known) {
      const { version } = slot;
      const process: SeenProcess = {
        id,
        pulse,
        version,
        presence: "online",
        lastChangeAt: now,
        agents: new Map(),
        parts: new Map(),
        kinds: new SharedKinds(),
      };
      this.#processes.set(id, process);
      return;
    }
    known.pulse = pulse;
    known.version = slot.version;
    known.lastChangeAt = now;
    if (known.presence === "dead") known.presence = "returned";
    else known.presence = "online";
    for (const agent of known.agents.values()) {
      if (agent.presence === "dead") this.#move(agent, "returned");
      else if (agent.presence !== "online") this.#move(agent, "online");
    }
  }

  #seeCards(slot: PresenceSlot): void {
    const { process: id, part } = placeOf(slot.name);
    const process = this.#processes.get(id);
    if (part === undefined || !process) return;
    const known = process.parts.get(part);
    if (known?.version === slot.version) return;
    const read = JSON.parse(slot.value) as readonly AgentPart[];
    const cards = read.map((card) => ({ ...card, agent: this.#nameOf(card.agent) }));
    const keys = cards.map(keyOf);
    process.parts.set(part, { version: slot.version, keys });
    const here = new Set(keys);
    for (const key of known?.keys ?? []) if (!here.has(key)) this.#remove(process, key);
    for (const card of cards) this.#seeCard(process, card);
  }

  #seeCard(process: SeenProcess, card: AgentPart): void {
    const key = keyOf(card);
    this.#missing.delete(fullKeyOf(card.agent, card.incarnation));
    const kind = process.kinds.of(process, card);
    const known = process.agents.get(key);
    if (known) {
      this.#index.replace(known, kind);
      this.#tellFollowers(known);
      return;
    }
    const agent: SeenAgent = { agent: card.agent, kind, presence: "online" };
    process.agents.set(key, agent);
    this.#index.add(agent);
    this.#tell(agent, undefined);
  }

  #judge(process: SeenProcess, instant: number, isGone: boolean): void {
    const { suspectAfterMs, leaseMs } = this.#context;
    const silentMs = instant - process.lastChangeAt;
    if (silentMs < suspectAfterMs && !isGone) return;
    let allDead = true;
    for (const agent of process.agents.values()) {
      // One that sleeps has said how long it will be silent.
      const { nextActiveAt, state } = agent.kind.traits;
      const sleeps = state === "asleep" && nextActiveAt !== undefined;
      const allowedMs = sleeps ? Math.max(0, nextActiveAt - process.pulse.beatAt) : 0;
      const isDead = isGone || silentMs >= leaseMs + allowedMs || agent.presence === "dead";
      if (isDead) this.#move(agent, "dead");
      else if (silentMs >= suspectAfterMs + allowedMs) this.#move(agent, "suspected");
      allDead &&= isDead;
    }
    if (allDead && (isGone || silentMs >= leaseMs)) process.presence = "dead";
    else if (process.presence !== "dead") process.presence = "suspected";
  }

  #leave(id: string, process: SeenProcess): void {
    for (const key of process.agents.keys()) this.#remove(process, key);
    this.#processes.delete(id);
  }

  /** What has no card any more is watched as missing: whatever it still owns is offered again. */
  #remove(process: SeenProcess, key: string): void {
    const agent = process.agents.get(key);
    if (!agent) return;
    process.agents.delete(key);
    this.#index.remove(agent);
    const missing = fullKeyOf(agent.agent, agent.kind.traits.incarnation);
    this.#missing.set(missing, { since: -Infinity, asked: true, look: this.#looks });
    if (agent.presence === "dead") this.#tellFollowers(agent, true);
    else this.#move(agent, "left");
  }

  #move(agent: SeenAgent, presence: Presence): void {
    const before = agent.presence;
    if (before === presence) return;
    agent.presence = presence;
    this.#tell(agent, before);
  }

  #tell(agent: SeenAgent, before: Presence | undefined): void {
    const entry = this.#entryOf(agent);
    for (const listener of this.#listeners) listener(entry, before);
    this.#tellFollowers(agent, agent.presence === "left");
  }

  #tellFollowers(agent: SeenAgent, isOver = false): void {
    for (const follower of this.#followers) this.#follow(follower, agent, isOver);
  }

  #follow({ query, listener, members }: Follower, agent: SeenAgent, isOver = false): void {
    const entry = this.#entryOf(agent);
    const fits = !isOver && fitsQuery(entry, query);
    const wasIn = members.has(agent);
    if (fits) members.add(agent);
    else members.delete(agent);
    if (fits) listener({ kind: wasIn ? "changed" : "joined", entry });
    else if (wasIn) listener({ kind: "left", entry });
  }

  #entryOf({ agent, kind: { process, traits }, presence }: SeenAgent): DirectoryEntry {
    const load = this.#leases?.(agent, traits.incarnation) ?? traits.load;
    const waiting = Math.min(traits.waiting, load);
    return {
      card: { agent, ...traits, ...process.pulse, load, waiting },
      presence,
      silentMs: this.#context.clock.monotonic() - process.lastChangeAt,
    };
  }
}
