/**
 * Looks after the open proposals of a store: one a team, asleep until something is due.
 *
 *   a commit of the store, a ballot that came back ─▶ soon: look ─┐
 *   the next deadline ────────────────────────────────────────────┼─▶ tend ─▶ sleep
 *   never longer than `longestSleepMs` ───────────────────────────┘
 *
 * To tend a proposal is to ask the agents among its voters, to count the ballots that came back, to
 * see what time has made of it, and to withdraw it when the task that asks has ended. Any number of
 * keepers may run on one store: the expected version of the proposal's stream decides.
 */
import { isCadreError } from "../../core/errors.ts";
import type { LogPosition } from "../../store/event-store.ts";
import type { Directory } from "../directory.ts";
import { isPassing } from "../passing-trouble.ts";
import { loadTask, type TaskBoard } from "../task-board.ts";
import { cancelTask } from "../task-cancel.ts";
import type { TaskDesk } from "../task-desk.ts";
import { isFinal } from "../task-fold.ts";
import { teamEvent, type TeamContext } from "../team-context.ts";
import {
  ballotCapability,
  ballotId,
  ballotOf,
  ballotTask,
  proposalOfBallot,
  readBallots,
} from "./ballots.ts";
import { proposalOfTurn } from "./debate-tasks.ts";
import { isDecided, proposalIdOf, proposalPrefix, type ProposalState } from "./proposal.ts";
import type { ProposalDesk } from "./proposal-desk.ts";
import { loadProposal, openProposals, type ProposalEntry } from "./proposal-log.ts";
import { hasAllRules, willGoAhead } from "./proposal-tally.ts";
import { isOfLineage } from "./voting.ts";
import { Wakeup } from "./wakeup.ts";

const lookDelayMs = 100; // changes of other processes may be seen so late; a busy store is spared
const longestSleepMs = 10_000; // wall time may jump, and no timer hears of it
const againMs = 500; // after trouble

export interface KeeperParts {
  readonly context: TeamContext;
  readonly board: TaskBoard;
  readonly directory: Directory;
  readonly tasks: TaskDesk;
}

interface Known {
  readonly state: ProposalState;
  readonly version: number;
}

/** Says when a proposal may have changed since it was last asked. */
export interface Following {
  /** Resolves at a change, or after `withinMs`; rejects when `signal` is aborted. */
  next(signal: AbortSignal, withinMs: number): Promise<void>;
  close(): void;
}

export class ProposalKeeper {
  readonly #parts: KeeperParts;
  #desk: ProposalDesk | undefined;
  readonly #open = new Map<string, Known>();
  /** Ids that are to be looked at. */
  readonly #due = new Set<string>();
  readonly #listeners = new Map<string, Set<() => void>>();
  /** Monotonic; after trouble nothing is tended before. */
  readonly #notBefore = new Map<string, number>();
  /** The log is read up to here; unknown until the open ones were listed. */
  #position: LogPosition | undefined;
  /** Monotonic: when to look for changes, and when to tend what is due. */
  #lookAt: number | undefined = 0;
  #tendAt: number | undefined;
  #sweptAt = -Infinity;
  #running: Promise<void> | undefined;
  #closed = false;
  #cancelTimer: () => void = () => {};
  readonly #ends: (() => void)[] = [];

  constructor(parts: KeeperParts) {
    this.#parts = parts;
  }

  start(desk: ProposalDesk): void {
    this.#desk = desk;
    const { context, board, directory } = this.#parts;
    this.#ends.push(
      context.store.watch(() => this.#lookSoon()),
      board.watch(({ state }, { type }) => {
        if (!finalTypes.has(type)) return;
        const debate = proposalOfTurn(state);
        if (debate !== undefined) this.#wake(debate);
        const proposal = proposalOfBallot(state);
        if (proposal !== undefined) this.#tendSoon(proposal);
        for (const [id, known] of this.#open) {
          if (known.state.taskId === state.id) this.#tendSoon(id);
        }
      }),
      // Who has come may have to be asked.
      directory.watch(() => {
        for (const id of this.#open.keys()) this.#tendSoon(id);
      }),
    );
    this.#run();
  }

  /** A change that was made in this process. */
  learn(entry: ProposalEntry): void {
    if (!this.#note(entry)) return;
    this.#tendSoon(entry.state.id);
  }

  /** Follows a proposal, and the tasks by which its voters are asked. */
  follow(id: string): Following {
    const change = new Wakeup(this.#parts.context.clock);
    const listener = (): void => change.wake();
    const same = this.#listeners.get(id);
    if (same) same.add(listener);
    else this.#listeners.set(id, new Set([listener]));
    return {
      next: (signal, withinMs) => change.next(signal, withinMs),
      close: () => {
        const all = this.#listeners.get(id);
        all?.delete(listener);
        if (all?.size === 0) this.#listeners.delete(id);
      },
    };
  }

  /** Waits for what is being tended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    for (const end of this.#ends.splice(0)) end();
    await this.#running;
  }

  /** Whether it was news. */
  #note({ state, version }: ProposalEntry): boolean {
    const known = this.#open.get(state.id);
    if (known && known.version >= version) return false;
    if (isDecided(state.status)) this.#open.delete(state.id);
    else this.#open.set(state.id, { state, version });
    this.#wake(state.id);
    return true;
  }

  #wake(id: string): void {
    for (const listener of [...(this.#listeners.get(id) ?? [])]) listener();
  }

  #lookSoon(): void {
    if (this.#lookAt !== undefined) return;
    this.#lookAt = this.#parts.context.clock.monotonic() + lookDelayMs;
    this.#arm();
  }

  #tendSoon(id: string, inMs = 0): void {
    this.#due.add(id);
    const at = this.#parts.context.clock.monotonic() + inMs;
    this.#tendAt = Math.min(this.#tendAt ?? Infinity, at);
    this.#arm();
  }

  #arm(): void {
    this.#cancelTimer();
    if (this.#closed || this.#running || !this.#desk) return;
    const { clock } = this.#parts.context;
    const monotonic = clock.monotonic();
    let waitMs = Math.min(this.#lookAt ?? Infinity, this.#tendAt ?? Infinity) - monotonic;
    if (this.#open.size > 0) waitMs = Math.min(waitMs, longestSleepMs);
    const now = clock.now();
    for (const [id, { state }] of this.#open) {
      const notBeforeMs = (this.#notBefore.get(id) ?? monotonic) - monotonic;
      waitMs = Math.min(waitMs, Math.max(nextInstant(state) - now, notBeforeMs));
    }
    if (waitMs === Infinity) return;
    this.#cancelTimer = clock.after(Math.max(0, waitMs), () => this.#run());
  }

  #run(): void {
    if (this.#closed || this.#running) return;
    this.#running = this.#pass()
      .catch((error: unknown) => {
        this.#lookAt = this.#parts.context.clock.monotonic() + againMs;
        this.#warn("Proposals could not be read; it is tried again.", error);
      })
      .finally(() => {
        this.#running = undefined;
        this.#arm();
      });
  }

  async #pass(): Promise<void> {
    const { clock } = this.#parts.context;
    if (this.#lookAt !== undefined && this.#lookAt <= clock.monotonic()) {
      this.#lookAt = undefined;
      await this.#look();
    }
    const now = clock.now();
    const isSweep = clock.monotonic() - this.#sweptAt >= longestSleepMs;
    if (isSweep) this.#sweptAt = clock.monotonic();
    for (const [id, { state }] of this.#open) {
      if (isSweep || nextInstant(state) <= now) this.#due.add(id);
    }
    this.#tendAt = undefined;
    for (const id of [...this.#due]) {
      if (this.#closed) return;
      const notBefore = this.#notBefore.get(id) ?? 0;
      if (notBefore > clock.monotonic()) {
        this.#tendAt = Math.min(this.#tendAt ?? Infinity, notBefore);
        continue;
      }
      this.#notBefore.delete(id);
      this.#due.delete(id);
      await this.#tend(id).catch((error: unknown) => {
        this.#warn(`Proposal ${id} could not be looked after; it is tried again.`, error);
        this.#notBefore.set(id, clock.monotonic() + againMs);
        this.#tendSoon(id, againMs);
      });
    }
  }

  /** Learns what others have changed. */
  async #look(): Promise<void> {
    const { store } = this.#parts.context;
    const upTo = await store.head();
    if (this.#position === undefined) {
      for (const id of await openProposals(store)) this.#due.add(id);
    } else if (this.#position < upTo) {
      const query = { streamPrefix: proposalPrefix, after: this.#position, upTo };
      for await (const { stream = "", version = 0 } of store.read(query)) {
        const id = proposalIdOf(stream);
        if ((this.#open.get(id)?.version ?? 0) < version) this.#due.add(id);
      }
    }
    this.#position = upTo;
  }

  async #tend(id: string): Promise<void> {
    const { store } = this.#parts.context;
    const entry = await loadProposal(store, id);
    if (!entry) return;
    this.#note(entry);
    let { state } = entry;
    if (!isDecided(state.status) && (await this.#isOrphan(state))) {
      ({ state } = await this.#withdraw(id));
    }
    if (!isDecided(state.status)) ({ state } = await this.#desk!.expire(id));
    if (!state.debate) {
      if (!isDecided(state.status)) await this.#ask(state);
      await this.#count(state);
    }
  }

  async #isOrphan({ taskId }: ProposalState): Promise<boolean> {
    const { board, context } = this.#parts;
    if (taskId === undefined || board.get(taskId)) return false;
    const task = await loadTask(context.store, taskId);
    return task !== undefined && isFinal(task.state.status);
  }

  #withdraw(id: string): Promise<ProposalEntry> {
    const { context } = this.#parts;
    return this.#desk!.change(id, ({ state, last }) => {
      if (isDecided(state.status)) return [];
      const payload = { proposalId: id, by: context.name, reason: "the task that asked has ended" };
      return [teamEvent(context, context.name, "action.withdrawn", payload, { cause: last })];
    });
  }

  /** Gives a ballot to every agent among the voters that has none. */
  async #ask(state: ProposalState): Promise<void> {
    const { context, tasks } = this.#parts;
    if (!hasAllRules(state)) return;
    const voted = new Set(state.votes.map(({ voter }) => voter));
    for (const agent of this.#agentsOf(state)) {
      const id = ballotId(state, agent);
      if (voted.has(agent) || (await context.store.version(`task/${id}`)) > 0) continue;
      if (await isOfLineage(context, state, agent)) continue;
      const last = await loadProposal(context.store, state.id);
      if (!maySee(context, state, agent, last?.last.metadata.tenant)) continue;
      await tasks.create(ballotTask(agent), ballotOf(state), {
        id,
        ...(last ? { cause: last.last } : {}),
        // What nobody can answer any more ends by itself.
        deadlineMs: Math.max(1, latest(state) - context.clock.now()),
      });
    }
  }

  /** Names of the agents among its voters that can be asked. */
  #agentsOf({ voters, vetoBy }: ProposalState): readonly string[] {
    const { directory } = this.#parts;
    const names = new Set([...voters.names, ...vetoBy.names]);
    for (const role of [...voters.roles, ...vetoBy.roles]) {
      for (const { card } of directory.find({ capability: role })) names.add(card.agent);
    }
    const canAnswer = (name: string): boolean =>
      directory.find({ capability: ballotCapability(name) }).length > 0;
    return [...names].filter(canAnswer).sort();
  }

  /** Makes votes of the ballots that came back. What is decided needs no others any more. */
  async #count(state: ProposalState): Promise<void> {
    const { context } = this.#parts;
    const { answered, open } = await readBallots(context.store, state.id);
    for (const { id, agent, ballot, answer } of answered) {
      if (state.ballots.includes(id)) continue;
      const { verdict, reason, evidence, confidence } = answer;
      const vote = {
        as: agent,
        verdict,
        hash: ballot.contentHash,
        ballot: id,
        ...(reason === undefined ? {} : { reason }),
        ...(evidence === undefined ? {} : { evidence }),
        ...(confidence === undefined ? {} : { confidence }),
      };
      await this.#desk!.vote(state.id, vote).catch((error: unknown) => {
        // It is of an earlier revision, or has joined the lineage since.
        if (!isCadreError(error, "VOTE_REFUSED")) throw error;
        if (error.details.reason !== "no_veto_right") return;
        // Nobody tells an agent that it said too much: what it meant was no.
        return this.#desk!.vote(state.id, { ...vote, verdict: "reject" });
      });
    }
    for (const task of open) {
      const isOld = (task.input as { readonly revision?: number }).revision !== state.revision;
      if (!isDecided(state.status) && !isOld) continue;
      await cancelTask(context, task.id, `proposal ${state.id} is ${isOld ? "edited" : "decided"}`);
    }
  }

  #warn(message: string, error: unknown): void {
    if (this.#closed || isCadreError(error, "CLOSED")) return;
    this.#parts.context.logger[isPassing(error) ? "warn" : "error"](message, { error });
  }
}

const finalTypes: ReadonlySet<string> = new Set([
  "task.completed",
  "task.failed",
  "task.cancelled",
]);

/** Unix milliseconds of what time will make of it next. */
function nextInstant(state: ProposalState): number {
  const { deadlineAt, levels, level } = state;
  // A veto window that was seen by enough goes ahead at its end and not before.
  return willGoAhead(state) ? deadlineAt : deadlineAt - (levels[level]?.earlyMs ?? 0);
}

/** The end of the last level, if each takes all its time. */
function latest({ deadlineAt, levels, level }: ProposalState): number {
  return levels.slice(level).reduce((sum, { deadlineMs }) => sum + deadlineMs, deadlineAt);
}

/** A ballot shows what is proposed: only who may vote on it is shown it. */
function maySee(
  { guard }: TeamContext,
  { action }: ProposalState,
  agent: string,
  tenant: string | undefined,
): boolean {
  return guard?.permissions?.may(agent, "vote", action, tenant) ?? true;
}
