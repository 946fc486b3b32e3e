/**
 * How a process and its agents are written down.
 *
 *   presence/<process>        the pulse: one write a beat, whatever the number of agents
 *   presence/<process>/<n>    the cards of up to 64 agents, written with the beat after a change
 *
 * A beat renews every lease of every agent of the process. Its slot and those of its cards are
 * written in one commit, so that no reader sees one without the other.
 */
import type { Slot } from "../../store/event-store.ts";
import type { AgentCard } from "../directory.ts";

export const presencePrefix = "presence/";
export const cardsPerSlot = 64; // a changed card writes so many; 10,000 agents are 157 slots

export const pulseSlot = (process: string): string => `${presencePrefix}${process}`;
export const cardsSlot = (process: string, index: number | string): string =>
  `${presencePrefix}${process}/${index}`;

/** What a process says of itself at each beat. */
export type Pulse = Pick<AgentCard, "beatAt" | "pid" | "host" | "loopLagMs" | "memory">;

/** What is an agent's own on its card. */
export type AgentPart = Omit<AgentCard, keyof Pulse>;

/** The first incarnation of an agent is its process; restarts in the process are counted on. */
export const incarnationOf = (process: string, restarts: number): string =>
  restarts === 0 ? process : `${process}.${restarts}`;

export const processOf = (incarnation: string): string => {
  const dot = incarnation.indexOf(".");
  return dot < 0 ? incarnation : incarnation.slice(0, dot);
};

export type PresenceSlot = Slot & { readonly name: string };

/** Which process a slot belongs to, and which part of its cards it is; none is the pulse. */
export function placeOf(name: string): { readonly process: string; readonly part?: string } {
  const rest = name.slice(presencePrefix.length);
  const slash = rest.indexOf("/");
  if (slash < 0) return { process: rest };
  return { process: rest.slice(0, slash), part: rest.slice(slash + 1) };
}

/** All cards in the slots of presence, with the version of the pulse that each goes with. */
export function readCards(
  slots: readonly PresenceSlot[],
): readonly { readonly card: AgentCard; readonly beat: string }[] {
  const pulses = new Map<string, { pulse: Pulse; beat: string }>();
  for (const { name, value, version } of slots) {
    const { process, part } = placeOf(name);
    if (part !== undefined) continue;
    // Written by heartbeats; nothing else writes under this prefix.
    pulses.set(process, { pulse: JSON.parse(value) as Pulse, beat: `${process}:${version}` });
  }
  const cards = [];
  for (const { name, value } of slots) {
    const { process, part } = placeOf(name);
    const known = pulses.get(process);
    if (part === undefined || !known) continue;
    for (const card of JSON.parse(value) as readonly AgentPart[]) {
      cards.push({ card: { ...card, ...known.pulse }, beat: known.beat });
    }
  }
  return cards.sort(({ card: a }, { card: b }) => (a.agent < b.agent ? -1 : 1));
}
