/** Proposals in the store: how one stands, which are open, and the changes of their streams. */
import type { Append, Commit } from "../../core/commit.ts";
import { CadreError, isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { EventStore } from "../../store/event-store.ts";
import type { Directory } from "../directory.ts";
import { throughTrouble } from "../passing-trouble.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";
import {
  isDecided,
  proposalIdOf,
  proposalPrefix,
  proposalStream,
  type ProposalState,
  type Weigh,
} from "./proposal.ts";
import { applyProposal } from "./proposal-fold.ts";
import { dissentFrom, weightOf, type Conclusion } from "./proposal-tally.ts";

/** What a change may use of a team; the command line brings its own. */
export type Proposing = Pick<TeamContext, "store" | "clock" | "random" | "name"> & {
  readonly weigh?: Weigh;
  readonly guard?: TeamContext["guard"];
  /** Knows agents that the store does not: those that are not asked. */
  readonly directory?: Pick<Directory, "find">;
};

export interface ProposalEntry {
  readonly state: ProposalState;
  /** Version of the stream. */
  readonly version: number;
  /** The last event of the stream: the cause of the next. */
  readonly last: AgentEvent;
}

export interface ProposalChange {
  readonly events: readonly AgentEvent[];
  /** What else belongs to the same commit. */
  readonly appends?: readonly Append[];
}

const maxTries = 64; // each one that fails lost to a change that got through
const troubleMs = 5_000;

/** The proposal as its stream says now. */
export async function loadProposal(
  store: EventStore,
  id: string,
): Promise<ProposalEntry | undefined> {
  let state: ProposalState | undefined;
  let version = 0;
  let last: AgentEvent | undefined;
  for await (const stored of store.read({ stream: proposalStream(id) })) {
    state = applyProposal(state, stored.event);
    version = stored.version ?? version;
    last = stored.event;
  }
  return state && last && { state, version, last };
}

/** Ids of those that are open. */
export async function openProposals(store: EventStore): Promise<readonly string[]> {
  return (await store.slots(proposalPrefix)).map(({ name }) => proposalIdOf(name));
}

/** Every proposal of the log, in the order in which they were opened. */
export async function allProposals(
  store: EventStore,
  stop?: AbortSignal,
): Promise<readonly ProposalState[]> {
  const states = new Map<string, ProposalState>();
  for await (const { stream = "", event } of store.read({ streamPrefix: proposalPrefix })) {
    if (stop?.aborted) break;
    const state = applyProposal(states.get(stream), event);
    if (state) states.set(stream, state);
  }
  return [...states.values()];
}

/** The commit of a proposal's events: its slot is there as long as it is open. */
export function proposalCommit(
  id: string,
  version: number,
  { events, appends = [] }: ProposalChange,
  after: ProposalState,
): Required<Pick<Commit, "appends" | "slots">> {
  const name = proposalStream(id);
  const { status, deadlineAt } = after;
  const value = isDecided(status) ? undefined : JSON.stringify({ deadlineAt });
  return {
    appends: [{ stream: name, expectedVersion: version, events }, ...appends],
    // The stream is the lock: whoever writes the slot has won it.
    slots: [{ name, expectedVersion: "any", value }],
  };
}

/**
 * Decides on a proposal as it stands and writes the change, so that nothing came in between.
 *
 * @param decider may run several times; nothing, or no events, leaves the proposal as it is
 * @throws {CadreError} NOT_FOUND | VERSION_CONFLICT, when every try lost
 */
export async function changeProposal(
  context: Pick<Proposing, "store" | "clock">,
  id: string,
  decider: (
    entry: ProposalEntry,
  ) => ProposalChange | undefined | Promise<ProposalChange | undefined>,
): Promise<ProposalEntry> {
  const { store, clock } = context;
  for (let tries = 1; ; tries += 1) {
    const entry = await loadProposal(store, id);
    if (!entry) throw notFound(id);
    const change = await decider(entry);
    if (!change || change.events.length === 0) return entry;
    const next = after(entry, change.events);
    const commit = proposalCommit(id, entry.version, change, next.state);
    try {
      // The same events again: where only the answer was lost, they are not written twice.
      await throughTrouble(clock, troubleMs, () => store.commit(commit));
      return next;
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT") || tries >= maxTries) throw error;
    }
  }
}

/** The entry with these events behind it. */
export function after(entry: ProposalEntry, events: readonly AgentEvent[]): ProposalEntry {
  let { state } = entry;
  for (const event of events) state = applyProposal(state, event) ?? state;
  return { state, version: entry.version + events.length, last: events.at(-1) ?? entry.last };
}

/** The event that a conclusion is. */
export function concluded(
  context: Proposing,
  { state, last }: Pick<ProposalEntry, "state" | "last">,
  conclusion: Conclusion & { readonly position?: string; readonly dissent?: unknown },
): AgentEvent {
  const { id, contentHash, kind, quorum, votes } = state;
  const { status, by, reason, position } = conclusion;
  if (status === "escalated") return escalated(context, { state, last }, reason);
  const payload = {
    proposalId: id,
    kind,
    contentHash,
    voter: by,
    reason,
    approvals: weightOf(state, "approve"),
    rejections: weightOf(state, "reject") + weightOf(state, "veto"),
    dissent: conclusion.dissent ?? dissentFrom(state, status),
    ...(position === undefined ? {} : { position }),
    ...(status === "expired" ? { votes: votes.length, quorum } : {}),
  };
  return teamEvent(context, context.name, `action.${status}`, payload, { cause: last });
}

function escalated(
  context: Proposing,
  { state, last }: Pick<ProposalEntry, "state" | "last">,
  reason: string,
): AgentEvent {
  const level = state.levels[state.level]!;
  const payload = {
    proposalId: state.id,
    level: state.level + 1,
    deadlineAt: context.clock.now() + level.deadlineMs,
    quorum: level.quorum,
    voters: level.voters.names,
    roles: level.voters.roles,
    reason,
  };
  return teamEvent(context, context.name, "action.escalated", payload, { cause: last });
}

export function notFound(id: string): CadreError {
  const message = `There is no proposal "${id}" in this store.`;
  return new CadreError("NOT_FOUND", message, { what: "proposal", id });
}
