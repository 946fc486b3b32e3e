/** The proposals of one running team: its desks, its keeper, and what a handler is given. */
import { checkOptions, someText } from "../../core/options.ts";
import { CadreError } from "../../core/errors.ts";
import type { AnyAgent } from "../agent.ts";
import type { TaskBoard } from "../task-board.ts";
import type { TaskDesk } from "../task-desk.ts";
import type { Directory } from "../directory.ts";
import type { TeamContext } from "../team-context.ts";
import { actionHash } from "./content-hash.ts";
import type { DebateOpening, DebateReply, Judgement } from "./debate.ts";
import { DebateConductor } from "./debate-conductor.ts";
import { DebateOpener } from "./debate-opening.ts";
import { DebateDesk } from "./debate-desk.ts";
import {
  electorsOf,
  enrol,
  listPeople,
  removePerson,
  setPerson,
  type Elector,
  type Person,
} from "./people.ts";
import { isDecided, type ProposalState, type Proposed, type ProposeOptions } from "./proposal.ts";
import { ProposalDesk, type ProposalQuery } from "./proposal-desk.ts";
import { ProposalKeeper } from "./proposal-keeper.ts";
import { decisionOf, Proposer, type Decision, type ProposerPort } from "./proposer.ts";
import type { CastVote } from "./voting.ts";

/** Options of a proposal that is opened from outside of a task. */
export interface OpenOptions extends ProposeOptions {
  /** Makes opening idempotent: a second proposal of this id is the first one. @default a UUIDv7 */
  readonly id?: string;
  /** Its author. @default the team's name */
  readonly as?: string;
}

/** A proposal as whoever opened it holds it. */
export interface ProposalHandle {
  readonly id: string;
  /** What its votes must name. */
  readonly contentHash: string;
  state(): Promise<ProposalState>;
  /** What came of it, once it is decided, also when another process sees that. */
  decided(options?: { readonly signal?: AbortSignal }): Promise<Decision>;
}

/** Proposals, from outside of handlers. */
export interface Proposals {
  /**
   * Opens a proposal; resolves when it is in the store.
   * @throws {CadreError} INVALID_OPTION | NOT_JSON
   * @throws {CadreError} DUPLICATE_ID, when the id is that of a proposal of something else
   */
  open(proposed: Proposed, options: OpenOptions): Promise<ProposalHandle>;
  /**
   * Votes. A later vote of the same voter takes the place of the earlier one; after the end it is
   * recorded as late, and counts for nothing.
   * @throws {CadreError} NOT_FOUND
   * @throws {CadreError} VOTE_REFUSED, for who has worked on it, is no voter, or names another hash
   */
  vote(id: string, vote: Omit<CastVote, "ballot">): Promise<ProposalState>;
  /**
   * Edits what is proposed: votes count no more, and who edits it may not vote on it.
   * @throws {CadreError} NOT_FOUND | WRONG_STATE | VOTE_REFUSED
   */
  amend(
    id: string,
    content: unknown,
    options: { readonly as: string; readonly reason?: string },
  ): Promise<ProposalState>;
  /**
   * Ends it without a decision; its author may. False when it has ended.
   * @throws {CadreError} NOT_FOUND | VOTE_REFUSED
   */
  withdraw(
    id: string,
    options: { readonly as: string; readonly reason?: string },
  ): Promise<boolean>;
  get(id: string): Promise<ProposalState | undefined>;
  /** Reads every proposal of the log, in the order in which they were opened. */
  list(query?: ProposalQuery): Promise<readonly ProposalState[]>;
  /** A person's opening in a debate: sealed until all are in. @throws {CadreError} VOTE_REFUSED */
  speak(id: string, options: DebateOpening & { readonly as: string }): Promise<ProposalState>;
  /** A person's turn in a debate. @throws {CadreError} VOTE_REFUSED */
  reply(id: string, options: DebateReply & { readonly as: string }): Promise<ProposalState>;
  /** A person's verdict on a debate. @throws {CadreError} VOTE_REFUSED */
  judge(id: string, options: Judgement & { readonly as: string }): Promise<ProposalState>;
  /** Says which roles a person has: by them they may vote. */
  setPerson(person: Person): Promise<void>;
  removePerson(name: string): Promise<boolean>;
  people(): Promise<readonly Person[]>;
}

const longestWaitMs = 10_000;

export class TeamProposals implements Proposals {
  readonly #context: TeamContext;
  readonly #desk: ProposalDesk;
  readonly #debates: DebateDesk;
  readonly #keeper: ProposalKeeper;
  readonly #conductor: DebateConductor;
  readonly #opener: DebateOpener;
  readonly #electors: readonly Elector[];

  constructor(parts: {
    readonly context: TeamContext;
    readonly board: TaskBoard;
    readonly directory: Directory;
    readonly tasks: TaskDesk;
    readonly agents: readonly AnyAgent[];
    readonly people: readonly Person[];
  }) {
    const { tasks, directory, agents, people } = parts;
    const context = { ...parts.context, directory };
    this.#context = parts.context;
    this.#electors = electorsOf(agents, people);
    this.#keeper = new ProposalKeeper(parts);
    this.#desk = new ProposalDesk(context, (entry) => this.#keeper.learn(entry));
    this.#debates = new DebateDesk(context, (entry) => this.#keeper.learn(entry));
    this.#opener = new DebateOpener(context, this.#desk);
    this.#conductor = new DebateConductor({ context, tasks, desk: this.#debates });
  }

  async start(): Promise<void> {
    await enrol(this.#context.store, this.#electors);
    this.#keeper.start(this.#desk);
  }

  close(): Promise<void> {
    return this.#keeper.close();
  }

  /** For one entry into a task's handler. */
  proposer(
    port: Omit<ProposerPort, "context" | "desk" | "keeper" | "conductor" | "opener">,
  ): Proposer {
    return new Proposer({
      ...port,
      context: this.#context,
      desk: this.#desk,
      keeper: this.#keeper,
      conductor: this.#conductor,
      opener: this.#opener,
    });
  }

  async open(proposed: Proposed, options: OpenOptions): Promise<ProposalHandle> {
    const { random, clock, name } = this.#context;
    const { id = random.id(clock.now()), as: author = name, ...rest } = options;
    checkOptions("proposals.open", { id, as: author }, { id: someText, as: someText });
    const opening = { id, kind: "action", author } as const;
    const { state } = await this.#desk.open(proposed, rest, opening);
    const { contentHash, action, openedHash } = state;
    if (openedHash !== actionHash(proposed.action, proposed.content)) {
      const message = `The id ${id} is that of a proposal "${action}". Give this one another.`;
      throw new CadreError("DUPLICATE_ID", message, { id });
    }
    return {
      id,
      contentHash,
      state: async () => (await this.#desk.get(id)) ?? state,
      decided: ({ signal } = {}) => this.#decided(id, rest, signal ?? new AbortController().signal),
    };
  }

  async vote(id: string, vote: Omit<CastVote, "ballot">): Promise<ProposalState> {
    return (await this.#desk.vote(id, vote)).state;
  }

  amend(
    id: string,
    content: unknown,
    options: { readonly as: string; readonly reason?: string },
  ): Promise<ProposalState> {
    return this.#desk.amend(id, content, options);
  }

  withdraw(
    id: string,
    options: { readonly as: string; readonly reason?: string },
  ): Promise<boolean> {
    return this.#desk.withdraw(id, options);
  }

  get(id: string): Promise<ProposalState | undefined> {
    return this.#desk.get(id);
  }

  list(query: ProposalQuery = {}): Promise<readonly ProposalState[]> {
    return this.#desk.list(query);
  }

  async speak(
    id: string,
    { as, ...opening }: DebateOpening & { readonly as: string },
  ): Promise<ProposalState> {
    return (await this.#debates.open(id, as, opening)).state;
  }

  async reply(
    id: string,
    { as, ...reply }: DebateReply & { readonly as: string },
  ): Promise<ProposalState> {
    return (await this.#debates.turn(id, as, reply)).state;
  }

  async judge(
    id: string,
    { as, ...judgement }: Judgement & { readonly as: string },
  ): Promise<ProposalState> {
    return (await this.#debates.judge(id, as, judgement)).state;
  }

  setPerson(person: Person): Promise<void> {
    return setPerson(this.#context.store, person);
  }

  removePerson(name: string): Promise<boolean> {
    return removePerson(this.#context.store, name);
  }

  people(): Promise<readonly Person[]> {
    return listPeople(this.#context.store);
  }

  async #decided(id: string, options: ProposeOptions, signal: AbortSignal): Promise<Decision> {
    const following = this.#keeper.follow(id);
    try {
      for (;;) {
        const state = await this.#desk.get(id);
        if (state && isDecided(state.status)) return decisionOf(state);
        await this.#desk.applyRules(id, options);
        await following.next(signal, longestWaitMs);
      }
    } finally {
      following.close();
    }
  }
}
