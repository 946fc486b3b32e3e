/**
 * Presence: each agent's heartbeat is a write to its slot, and everybody watches everybody's slots.
 *
 *   online ──silent, suspectAfterMs──▶ suspected ──silent, leaseMs──▶ dead ──beats──▶ returned
 *      └────────── says goodbye ─────────▶ left
 *
 * A lease ends by the observer's monotonic time since it last saw the slot change, never by
 * comparing two machines' clocks. An observer that was blind itself (just started, paused) watches
 * one whole window before any verdict. Beats are slots and not events: they would be most of the
 * log and nobody replays them. The edges are events.
 */
import type { Slot } from "../store/event-store.ts";
import type {
  AgentCard,
  Directory,
  DirectoryEntry,
  DirectoryQuery,
  Presence,
} from "./directory.ts";
import type { TeamContext } from "./team-context.ts";

export const presencePrefix = "presence/";
export const presenceSlot = (agent: string, incarnation: string): string =>
  `${presencePrefix}${agent}/${incarnation}`;

/**
 * Whether the process behind a card is known to be gone, so that nobody has to wait for its
 * silence.
 */
export type GoneProbe = (card: AgentCard) => boolean;

interface Observed {
  card: AgentCard;
  slotVersion: number;
  presence: Presence;
  /** Monotonic, of this observer. */
  lastChangeAt: number;
}

/** By agent, then by incarnation. Asked for at every claim: it makes no strings. */
function byName({ card: left }: DirectoryEntry, { card: right }: DirectoryEntry): number {
  if (left.agent !== right.agent) return left.agent < right.agent ? -1 : 1;
  return left.incarnation < right.incarnation ? -1 : 1;
}

type EdgeListener = (entry: DirectoryEntry, before: Presence | undefined) => void;

export class PresenceObserver implements Directory {
  readonly #context: TeamContext;
  readonly #isGone: GoneProbe;
  readonly #observed = new Map<string, Observed>();
  readonly #listeners = new Set<EdgeListener>();
  /**
   * Owners without a card: since when, and whether anybody asked about them since the last look.
   */
  readonly #missing = new Map<string, { since: number; asked: boolean }>();
  #lastLookAt: number | undefined;

  constructor(context: TeamContext, isGone: GoneProbe = () => false) {
    this.#context = context;
    this.#isGone = isGone;
  }

  find(query: DirectoryQuery = {}): readonly DirectoryEntry[] {
    const entries: DirectoryEntry[] = [];
    for (const observed of this.#observed.values()) {
      const { card, presence } = observed;
      if (query.capability !== undefined && !card.capabilities.includes(query.capability)) continue;
      if (query.agent !== undefined && card.agent !== query.agent) continue;
      if (query.presence !== undefined && presence !== query.presence) continue;
      if (query.free && (card.load >= card.capacity || card.state !== "running")) continue;
      entries.push(this.#entryOf(observed));
    }
    return entries.sort(byName);
  }

  watch(listener: EdgeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Whether the owner of a lease has been silent for a whole lease, as far as this observer could
   * see.
   */
  isDead(agent: string, incarnation: string): boolean {
    const name = presenceSlot(agent, incarnation);
    const observed = this.#observed.get(name);
    if (observed) return observed.presence === "dead" || observed.presence === "left";
    const now = this.#context.clock.monotonic();
    const since = this.#missing.get(name)?.since ?? now;
    this.#missing.set(name, { since, asked: true });
    return now - since >= this.#context.leaseMs;
  }

  /** Reads all slots and moves every agent along. Rejects when the store does. */
  async look(): Promise<void> {
    const slots = await this.#context.store.slots(presencePrefix);
    const now = this.#context.clock.monotonic();
    const blindMs = this.#lastLookAt === undefined ? 0 : now - this.#lastLookAt;
    // A paused observer saw nobody's beats: their silence is its own.
    if (blindMs > this.#context.suspectAfterMs / 2) this.#forgive(now);
    this.#lastLookAt = now;
    this.#forgetMissing();
    const present = new Set<string>();
    for (const slot of slots) {
      present.add(slot.name);
      this.#see(slot, now);
    }
    for (const [name, observed] of this.#observed) {
      if (present.has(name)) this.#judge(name, observed, now);
      else this.#leave(name, observed);
    }
  }

  /** An owner that nobody asks about between two looks owns nothing any more. */
  #forgetMissing(): void {
    for (const [name, missing] of this.#missing) {
      if (missing.asked) missing.asked = false;
      else this.#missing.delete(name);
    }
  }

  #forgive(now: number): void {
    for (const observed of this.#observed.values()) observed.lastChangeAt = now;
    for (const missing of this.#missing.values()) missing.since = now;
  }

  #see(slot: Slot & { readonly name: string }, now: number): void {
    const known = this.#observed.get(slot.name);
    this.#missing.delete(slot.name);
    if (known?.slotVersion === slot.version) return;
    const card = JSON.parse(slot.value) as AgentCard;
    if (!known) {
      const observed: Observed = {
        card,
        slotVersion: slot.version,
        presence: "online",
        lastChangeAt: now,
      };
      this.#observed.set(slot.name, observed);
      this.#tell(observed, undefined);
      return;
    }
    known.card = card;
    known.slotVersion = slot.version;
    known.lastChangeAt = now;
    if (known.presence === "dead") this.#move(known, "returned");
    else if (known.presence !== "online") this.#move(known, "online");
  }

  #judge(_name: string, observed: Observed, now: number): void {
    if (observed.presence === "dead") return;
    const silentMs = now - observed.lastChangeAt;
    if (silentMs >= this.#context.leaseMs || this.#isGone(observed.card))
      this.#move(observed, "dead");
    else if (silentMs >= this.#context.suspectAfterMs && observed.presence !== "suspected") {
      this.#move(observed, "suspected");
    }
  }

  #leave(name: string, observed: Observed): void {
    this.#observed.delete(name);
    // What has no slot any more is watched as missing: whatever it still owns is offered again.
    this.#missing.set(name, { since: -Infinity, asked: true });
    if (observed.presence !== "dead") this.#move(observed, "left");
  }

  #move(observed: Observed, presence: Presence): void {
    const before = observed.presence;
    if (before === presence) return;
    observed.presence = presence;
    this.#tell(observed, before);
  }

  #tell(observed: Observed, before: Presence | undefined): void {
    const entry = this.#entryOf(observed);
    for (const listener of this.#listeners) listener(entry, before);
  }

  #entryOf(observed: Observed): DirectoryEntry {
    return {
      card: observed.card,
      presence: observed.presence,
      silentMs: this.#context.clock.monotonic() - observed.lastChangeAt,
    };
  }
}
