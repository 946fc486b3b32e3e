/**
 * Proposals from within a task: a durable wait. The proposal's id follows from the task and the
 * name, so a second attempt finds the proposal of the first; its outcome is journaled, so a third
 * does not even ask. The wait gives the slot back.
 */
import { CadreError, isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { toFrozenJson, type JsonValue } from "../../core/json.ts";
import { anything, checkOptions, wholeNumber } from "../../core/options.ts";
import { throughTrouble } from "../passing-trouble.ts";
import type { StepJournal } from "../step-journal.ts";
import { otherInput } from "../step-errors.ts";
import type { SlotHold } from "../task-slots.ts";
import type { DriftPolicy, TaskState } from "../task.ts";
import type { TeamContext } from "../team-context.ts";
import { actionHash, contentHash } from "./content-hash.ts";
import type { DebateOptions, DebateResult } from "./debate.ts";
import type { DebateConductor } from "./debate-conductor.ts";
import type { DebateOpener } from "./debate-opening.ts";
import { debateResult } from "./debate-outcome.ts";
import {
  isDecided,
  proposalStream,
  type ProposalState,
  type Proposed,
  type ProposeOptions,
  type Quorum,
  type Vote,
  type VoterSet,
} from "./proposal.ts";
import type { Opening, ProposalDesk } from "./proposal-desk.ts";
import type { ProposalKeeper } from "./proposal-keeper.ts";
import { loadProposal, type ProposalEntry } from "./proposal-log.ts";

/** Options of `ctx.propose`. */
export interface TaskProposeOptions extends ProposeOptions {
  /** The journal's name; unique in its handler. @default the action */
  readonly name?: string;
  /**
   * The voters debate so many rounds before each says how it votes in the end.
   * @default 0: they vote
   */
  readonly rounds?: number;
}

/** Options of `ctx.debate`. */
export interface TaskDebateOptions extends DebateOptions {
  /** The journal's name; unique in its handler. @default the question */
  readonly name?: string;
  /** What the debaters are shown beside the question. */
  readonly content?: unknown;
}

/** What came of a proposal. */
export interface Decision<Content = JsonValue> {
  readonly proposalId: string;
  readonly status: Exclude<ProposalState["status"], "open">;
  /** Whether the action may happen. */
  readonly approved: boolean;
  /** As it was decided on: somebody may have edited it. */
  readonly content: Content;
  readonly contentHash: string;
  /** Who or what decided. */
  readonly by: string;
  readonly reason: string;
  readonly votes: readonly Vote[];
  readonly dissent: readonly Vote[];
}

/** Options of `ctx.validated`, and of a task whose results are validated. */
export interface ValidateOptions {
  /** Rules first; then the agents and people who validate, if there are any. */
  readonly voters: VoterSet;
  /** @default a majority of named voters, 1 where there is a role, 0 with rules alone */
  readonly quorum?: Quorum;
  /** To answer, in milliseconds. */
  readonly deadlineMs: number;
  /** The journal's name; unique in its handler. @default "validated" */
  readonly name?: string;
}

export interface ProposerPort {
  readonly context: TeamContext;
  readonly agent: string;
  readonly desk: ProposalDesk;
  readonly keeper: ProposalKeeper;
  readonly conductor: DebateConductor;
  readonly opener: DebateOpener;
  readonly journal: StepJournal;
  readonly slot: Pick<SlotHold, "without">;
  readonly signal: AbortSignal;
  readonly drift: DriftPolicy;
  readonly task: () => TaskState;
  readonly cause: () => AgentEvent;
  readonly assertOwned: () => void;
}

const longestWaitMs = 10_000; // then the store is asked, whatever was heard

export class Proposer {
  readonly #port: ProposerPort;

  constructor(port: ProposerPort) {
    this.#port = port;
  }

  /** See `TaskContext.propose`. */
  async propose(what: Proposed | string, options: TaskProposeOptions): Promise<Decision> {
    const proposed = typeof what === "string" ? { action: what } : what;
    checkOptions("propose", proposed, { action: anything, content: anything });
    const { name = proposed.action, rounds = 0, ...rest } = options;
    checkOptions("propose", { rounds }, { rounds: wholeNumber(0, maxRounds) });
    const { desk, conductor, opener } = this.#port;
    const state = await this.#decided(name, {
      opens: (opening) =>
        rounds > 0
          ? opener.openVote(proposed, { ...rest, rounds }, opening)
          : desk.open(proposed, rest, { ...opening, kind: "action" }),
      whileOpen: (entry, signal) =>
        rounds > 0
          ? conductor.advance(entry, {}, signal)
          : desk.applyRules(entry.state.id, rest).then(() => false),
      expected: actionHash(proposed.action, proposed.content),
    });
    return decisionOf(state);
  }

  /** See `TaskContext.validated`. */
  async validated<Result>(result: Result, options: ValidateOptions): Promise<Result> {
    const { name = "validated", ...rest } = options;
    const { desk } = this.#port;
    const task = this.#port.task();
    const action = `validate ${task.name}`;
    const state = await this.#decided(name, {
      opens: (opening) =>
        desk.open({ action, content: result ?? null }, rest, { ...opening, kind: "validation" }),
      whileOpen: ({ state: { id } }) => desk.applyRules(id, rest).then(() => false),
      // What was given to the validators first is what counts, whatever a second attempt makes.
      expected: undefined,
    });
    if (state.status === "approved") return state.content as Result;
    throw validationFailed(state);
  }

  /** See `TaskContext.debate`. */
  async debate(question: string, options: TaskDebateOptions): Promise<DebateResult> {
    const { name = question, content, ...rest } = options;
    const { conductor, opener } = this.#port;
    const asked = { action: question, content };
    const state = await this.#decided(name, {
      opens: (opening) => opener.open(asked, rest, opening),
      whileOpen: (entry, signal) => conductor.advance(entry, rest, signal),
      expected: actionHash(question, toFrozenJson(content ?? null)),
    });
    return debateResult(state);
  }

  /** Opens or finds the proposal of this name, and waits until it is decided. */
  async #decided(
    name: string,
    how: {
      readonly opens: (opening: Omit<Opening, "kind">) => Promise<ProposalEntry>;
      /** What there is to do meanwhile; true when something was done. */
      readonly whileOpen: (entry: ProposalEntry, signal: AbortSignal) => Promise<boolean>;
      readonly expected: string | undefined;
    },
  ): Promise<ProposalState> {
    const { context, journal, slot, signal, assertOwned } = this.#port;
    const { clock, store } = context;
    assertOwned();
    const known = await journal.signal(name);
    const id = proposalIdIn(this.#port.task().id, name);
    const patiently = <Value>(run: () => Promise<Value>): Promise<Value> =>
      throughTrouble(clock, Infinity, run, () => !signal.aborted);
    if (known) {
      const entry = await patiently(() => loadProposal(store, id));
      if (!entry) throw gone(id);
      this.#assertSame(name, entry.state, how.expected);
      return entry.state;
    }
    await journal.flush();
    const opened = await patiently(() => how.opens(this.#opening(id)));
    this.#assertSame(name, opened.state, how.expected);
    const ended = await slot.without(() =>
      isDecided(opened.state.status) ? Promise.resolve(opened) : this.#wait(id, how.whileOpen),
    );
    assertOwned();
    await journal.takeSignal(name, await patiently(() => outcomeOf(context, id)));
    return ended.state;
  }

  async #wait(
    id: string,
    whileOpen: (entry: ProposalEntry, signal: AbortSignal) => Promise<boolean>,
  ): Promise<ProposalEntry> {
    const { context, keeper, signal } = this.#port;
    const following = keeper.follow(id);
    try {
      for (;;) {
        signal.throwIfAborted();
        const entry = await throughTrouble(
          context.clock,
          Infinity,
          () => loadProposal(context.store, id),
          () => !signal.aborted,
        );
        if (!entry) throw gone(id);
        if (isDecided(entry.state.status)) return entry;
        if (await whileOpen(entry, signal)) continue;
        await following.next(signal, this.#patienceMs(entry.state));
      }
    } finally {
      following.close();
    }
  }

  #patienceMs({ debate }: ProposalState): number {
    if (!debate) return longestWaitMs;
    const dueMs = debate.dueAt - this.#port.context.clock.now();
    return dueMs > 0 ? Math.min(longestWaitMs, dueMs) : longestWaitMs;
  }

  #opening(id: string): Omit<Opening, "kind"> {
    const { agent, task, cause } = this.#port;
    const { id: taskId, correlationId } = task();
    return { id, author: agent, task: { id: taskId, correlationId }, cause: cause() };
  }

  /** A handler that proposes something else by a name that it has used before has drifted. */
  #assertSame(name: string, { openedHash }: ProposalState, expected: string | undefined): void {
    if (expected === undefined || expected === openedHash || this.#port.drift === "warn") return;
    throw otherInput({ step: name, expected: openedHash, actual: expected });
  }
}

const maxRounds = 100;

/** What came of a proposal that is decided. */
export function decisionOf(state: ProposalState): Decision {
  const { id, status, content, contentHash, outcome, votes } = state;
  return {
    proposalId: id,
    status: status === "open" ? "withdrawn" : status,
    approved: status === "approved",
    content,
    contentHash,
    by: outcome?.by ?? "",
    reason: outcome?.reason ?? "",
    votes,
    dissent: outcome?.dissent ?? [],
  };
}

/** Names are free text, and ids are read by people: what is no plain word is cut, with its hash. */
export function proposalIdIn(taskId: string, name: string): string {
  if (/^[\w.:@/-]{1,60}$/.test(name)) return `${taskId}.${name}`;
  const start = name.replaceAll(/[^\w.:@/-]+/g, "-").slice(0, 40);
  return `${taskId}.${start}~${contentHash(name).slice(-8)}`;
}

async function outcomeOf({ store }: TeamContext, id: string): Promise<AgentEvent | undefined> {
  const ends = /^action\.(approved|vetoed|expired|withdrawn)$/;
  for await (const { event } of store.read({ stream: proposalStream(id) })) {
    if (ends.test(event.type)) return event;
  }
  return undefined;
}

function gone(id: string): CadreError {
  const message = `Proposal ${id} is not in the store any more: its task still needs it.`;
  return new CadreError("NOT_FOUND", message, { what: "proposal", id });
}

/** Why a result was not released, in the validators' words. */
function validationFailed(state: ProposalState): CadreError<"VALIDATION_FAILED"> {
  const reasons = state.votes
    .filter(({ verdict }) => verdict === "reject" || verdict === "veto")
    .map(({ voter, reason = "" }) => ({ validator: voter, reason }));
  const list = reasons.map(({ validator, reason }) => `${validator}: ${reason}`).join("; ");
  const why = list === "" ? (state.outcome?.reason ?? "") : list;
  const expired = state.status === "expired";
  const message = `The result was not released (${state.status}): ${why}`;
  return new CadreError("VALIDATION_FAILED", message, { proposal: state.id, reasons, expired });
}

export function isValidationFailed(error: unknown): error is CadreError<"VALIDATION_FAILED"> {
  return isCadreError(error, "VALIDATION_FAILED");
}
