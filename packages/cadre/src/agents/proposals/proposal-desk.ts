/** Where proposals are opened, answered, changed and looked at. */
import { CadreError, isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { toFrozenJson } from "../../core/json.ts";
import { throughTrouble } from "../passing-trouble.ts";
import { teamEvent } from "../team-context.ts";
import { actionHash } from "./content-hash.ts";
import { debateConclusion } from "./debate-outcome.ts";
import { lineageOf } from "./lineage.ts";
import { assertVoterName } from "./people.ts";
import {
  proposalStream,
  type ProposalKind,
  type ProposalState,
  type ProposalStatus,
  type Proposed,
  type ProposeOptions,
} from "./proposal.ts";
import {
  after,
  allProposals,
  changeProposal,
  concluded,
  loadProposal,
  proposalCommit,
  type ProposalEntry,
  type Proposing,
} from "./proposal-log.ts";
import { applyProposal, union } from "./proposal-fold.ts";
import { eligible, hasRoles, overdue, tally } from "./proposal-tally.ts";
import { checkProposeOptions, termsOf } from "./proposal-terms.ts";
import { askRules, ruleVoted } from "./rules.ts";
import { castVote, mayVote, type CastVote, type VoteAnswer } from "./voting.ts";
import { voteRefused } from "./vote-refused.ts";

/** Where a proposal comes from, beside its options. */
export interface Opening {
  readonly id: string;
  readonly kind: ProposalKind;
  readonly author: string;
  /** The task that asks; absent for who asks from outside. */
  readonly task?: { readonly id: string; readonly correlationId: string };
  readonly cause?: AgentEvent;
}

export interface ProposalQuery {
  readonly status?: ProposalStatus;
  readonly kind?: ProposalKind;
  /** Those that this name may vote on, as far as it is named. */
  readonly voter?: string;
  readonly limit?: number;
}

type ProposalListener = (entry: ProposalEntry) => void;

const idPattern = /^[^\p{Cc}]{1,150}$/u; // a part of names of streams and of ballots

export class ProposalDesk {
  readonly #context: Proposing;
  readonly #onChange: ProposalListener;

  /** @param onChange is told of a change that was made here: it need not come by way of the log */
  constructor(context: Proposing, onChange: ProposalListener = () => {}) {
    this.#context = context;
    this.#onChange = onChange;
  }

  /**
   * Opens a proposal, or finds the one of this id.
   * @throws {CadreError} INVALID_OPTION | NOT_JSON
   */
  async open(
    proposed: Proposed,
    options: ProposeOptions,
    opening: Opening,
  ): Promise<ProposalEntry> {
    const { id, kind } = opening;
    checkProposeOptions(`the proposal "${proposed.action}"`, options);
    assertProposalId(id);
    assertVoterName(opening.author);
    const known = await loadProposal(this.#context.store, id);
    if (known) return known;
    const content = toFrozenJson(proposed.content ?? null);
    const lineage = await this.#lineage(opening, options);
    const terms = await termsOf(this.#context, options, lineage);
    const rules = options.voters.validators ?? [];
    const hash = actionHash(proposed.action, content);
    const payload = {
      action: proposed.action,
      ...(kind === "validation"
        ? { validationId: id, subject: content, validators: terms.voters.names }
        : { proposalId: id, content }),
      contentHash: hash,
      author: opening.author,
      ...(opening.task ? { taskId: opening.task.id } : {}),
      lineage,
      mode: options.mode ?? "approve",
      voters: terms.voters.names,
      roles: terms.voters.roles,
      vetoVoters: terms.vetoBy.names,
      vetoRoles: terms.vetoBy.roles,
      rules: rules.map(({ name }) => name),
      quorum: terms.quorum,
      minSeen: options.minSeen ?? 0,
      weights: terms.weights,
      levels: terms.levels,
      otherwise: options.otherwise ?? "expire",
      deadlineAt: this.#context.clock.now() + options.deadlineMs,
    };
    const type = kind === "validation" ? "validation.requested" : "action.proposed";
    const opened = this.openingEvent(type, payload, opening);
    const answers = await askRules(rules, content);
    const votes = answers.map((answer) =>
      ruleVoted(this.#context, { id, kind, contentHash: hash }, answer, opened),
    );
    return this.commitOpening(id, [opened, ...votes]);
  }

  /** The event that opens a proposal: opened again, it is the same event. */
  openingEvent(
    type: string,
    payload: Readonly<Record<string, unknown>>,
    { id, author, cause }: Opening,
  ): AgentEvent {
    const options = { id: proposalStream(id), ...(cause === undefined ? {} : { cause }) };
    return teamEvent(this.#context, author, type, payload, options);
  }

  /** Writes a proposal's first events, and what they have decided; or finds what is there. */
  async commitOpening(id: string, first: readonly AgentEvent[]): Promise<ProposalEntry> {
    const { store, clock } = this.#context;
    const entry = after(fold(first.slice(0, 1)), first.slice(1));
    const conclusion = tally(entry.state);
    const ends = conclusion ? [concluded(this.#context, entry, conclusion)] : [];
    const events = [...first, ...ends];
    const next = after(entry, ends);
    const commit = proposalCommit(id, 0, { events }, next.state);
    try {
      await throughTrouble(clock, openTroubleMs, () => store.commit(commit));
    } catch (error) {
      if (!isCadreError(error, "VERSION_CONFLICT") && !isCadreError(error, "DUPLICATE_ID")) {
        throw error;
      }
      const known = await loadProposal(store, id);
      if (!known) throw error;
      return known;
    }
    const written = { ...next, version: events.length };
    this.#onChange(written);
    return written;
  }

  /**
   * Votes. A vote of who has voted before takes the place of the earlier one, which stays on
   * record; after the end it is recorded as late.
   *
   * @throws {CadreError} NOT_FOUND | VOTE_REFUSED
   */
  async vote(id: string, vote: CastVote): Promise<VoteAnswer> {
    const answer = await castVote(this.#context, id, vote);
    this.#onChange(answer.entry);
    return answer;
  }

  /** Applies the rules to what was amended; nothing, where they were. */
  async applyRules(id: string, options: ProposeOptions): Promise<void> {
    const rules = options.voters.validators ?? [];
    if (rules.length === 0) return;
    await this.change(id, async ({ state, last }) => {
      const isDone = state.votes.some(({ kind }) => kind === "rule");
      if (state.status !== "open" || isDone) return [];
      const answers = await askRules(rules, state.content);
      return answers.map((answer) => ruleVoted(this.#context, state, answer, last));
    });
  }

  /**
   * Edits what is proposed: it has another hash, votes count no more, and who edited it is of its
   * lineage. The author may, and whoever may vote.
   *
   * @throws {CadreError} NOT_FOUND | WRONG_STATE | VOTE_REFUSED | NOT_JSON
   */
  async amend(
    id: string,
    content: unknown,
    options: { readonly as: string; readonly reason?: string },
  ): Promise<ProposalState> {
    const { as: by, reason } = options;
    assertVoterName(by);
    const json = toFrozenJson(content ?? null);
    // A deadline that has passed counts before the edit, whoever sees it first.
    await this.expire(id);
    const entry = await this.change(id, async ({ state, last }) => {
      assertOpen(state);
      if (state.debate) throw voteRefused(state, by, "not_amendable");
      await this.#assertMayAmend(state, by);
      const hash = actionHash(state.action, json);
      if (hash === state.contentHash) return [];
      const payload = {
        proposalId: id,
        content: json,
        contentHash: hash,
        previousHash: state.contentHash,
        revision: state.revision + 1,
        by,
        ...(reason === undefined ? {} : { reason }),
      };
      return [teamEvent(this.#context, by, "action.amended", payload, { cause: last })];
    });
    return entry.state;
  }

  /**
   * Ends it without a decision: its author may.
   * @returns false when it has ended already
   * @throws {CadreError} NOT_FOUND | VOTE_REFUSED
   */
  async withdraw(
    id: string,
    options: { readonly as: string; readonly reason?: string },
  ): Promise<boolean> {
    const { as: by, reason = "withdrawn" } = options;
    let done = false;
    await this.change(id, ({ state, last }) => {
      done = state.status === "open";
      if (!done) return [];
      if (by !== state.author && by !== this.#context.name) {
        throw voteRefused(state, by, "not_the_author");
      }
      const payload = { proposalId: id, by, reason };
      return [teamEvent(this.#context, by, "action.withdrawn", payload, { cause: last })];
    });
    return done;
  }

  async get(id: string): Promise<ProposalState | undefined> {
    return (await loadProposal(this.#context.store, id))?.state;
  }

  /** Folds every proposal of the log, in the order in which they were opened. */
  async list(query: ProposalQuery = {}): Promise<readonly ProposalState[]> {
    const { status, kind, voter, limit = Infinity } = query;
    const fits = (state: ProposalState): boolean =>
      (status === undefined || state.status === status) &&
      (kind === undefined || state.kind === kind) &&
      (voter === undefined || eligible(state).includes(voter));
    return (await allProposals(this.#context.store)).filter(fits).slice(0, limit);
  }

  /** What time has made of it, if anything: in any process, once. */
  async expire(id: string): Promise<ProposalEntry> {
    const { clock } = this.#context;
    return this.change(id, (entry) => {
      const late = overdue(entry.state, clock.now());
      if (!late) return [];
      // What its judges have said by the deadline is said.
      const isJudged = entry.state.debate?.phase === "judging";
      const conclusion = isJudged ? (debateConclusion(entry.state, true) ?? late) : late;
      return [concluded(this.#context, entry, conclusion)];
    });
  }

  /** Appends what `decider` says, and what follows from it by the votes alone. */
  async change(
    id: string,
    decider: (entry: ProposalEntry) => readonly AgentEvent[] | Promise<readonly AgentEvent[]>,
  ): Promise<ProposalEntry> {
    const entry = await changeProposal(this.#context, id, async (before) => {
      const events = await decider(before);
      if (events.length === 0) return undefined;
      const next = after(before, events);
      const conclusion = tally(next.state);
      return {
        events: conclusion ? [...events, concluded(this.#context, next, conclusion)] : events,
      };
    });
    this.#onChange(entry);
    return entry;
  }

  async #lineage(opening: Opening, options: ProposeOptions): Promise<readonly string[]> {
    const { task, author } = opening;
    const found = task ? await lineageOf(this.#context.store, task.id, task.correlationId) : [];
    return union([author, ...found], options.lineage ?? []);
  }

  async #assertMayAmend(state: ProposalState, by: string): Promise<void> {
    if (by !== state.author && !(await mayVote(this.#context, state, by))) {
      throw voteRefused(state, by, "not_a_voter");
    }
    const left = { ...state, lineage: union(state.lineage, [by]) };
    const weight = eligible(left).reduce((sum, name) => sum + (state.weights[name] ?? 1), 0);
    if (state.mode === "veto" || hasRoles(state) || weight >= state.quorum) return;
    throw voteRefused(state, by, "last_voter");
  }
}

const openTroubleMs = 5_000;

/** @throws {CadreError} INVALID_OPTION */
export function assertProposalId(id: string): void {
  if (typeof id === "string" && idPattern.test(id)) return;
  const message =
    `"${id}" is no id of a proposal. ` +
    "Give 1 to 150 characters, none of them a control character.";
  throw new CadreError("INVALID_OPTION", message, { option: "id", value: id });
}

function assertOpen({ id, status }: ProposalState): void {
  if (status === "open") return;
  const message = `Proposal ${id} is ${status} already.`;
  throw new CadreError("WRONG_STATE", message, { what: `proposal ${id}`, state: status });
}

function fold(events: readonly AgentEvent[]): ProposalEntry {
  let state: ProposalState | undefined;
  for (const event of events) state = applyProposal(state, event);
  const last = events.at(-1);
  if (state && last) return { state, version: events.length, last };
  throw new CadreError("INTERNAL", "A proposal without an opening.", { what: "proposal" });
}
