/**
 * Conducts debates for the task that asks: asks who is to speak, ends rounds, has it judged.
 *
 * Where a debate stands is in its stream alone. A conductor that dies is followed by the next
 * attempt of the task; two at once do no harm. Functions are asked here; agents are given tasks;
 * people answer from outside.
 */
import { CadreError, describeError, isCadreError } from "../../core/errors.ts";
import { toFrozenJson } from "../../core/json.ts";
import { anything, checkOptions, wholeNumber, type OptionRule } from "../../core/options.ts";
import type { TaskDesk } from "../task-desk.ts";
import type { TaskState } from "../task.ts";
import { withinTime } from "../within-time.ts";
import { actionHash } from "./content-hash.ts";
import type {
  Debater,
  DebaterKind,
  DebateOpening,
  DebateOptions,
  DebateReply,
  DebateState,
  DebateView,
  Judge,
  Judgement,
  JudgeView,
} from "./debate.ts";
import type { DebateDesk } from "./debate-desk.ts";
import { heldPositions, stillToSpeak, transcriptOf } from "./debate-outcome.ts";
import { openingTask, turnTask, type DebateAnswer, type DebateQuestion } from "./debate-tasks.ts";
import { lineageOf } from "./lineage.ts";
import { assertVoterName, holdersOf, knownVoter } from "./people.ts";
import type { ProposalState, Proposed, ProposeOptions } from "./proposal.ts";
import { assertProposalId, type Opening, type ProposalDesk } from "./proposal-desk.ts";
import { union } from "./proposal-fold.ts";
import { loadProposal, type ProposalEntry, type Proposing } from "./proposal-log.ts";
import { checkProposeOptions, electorateOf, quorumOf, weightsOf } from "./proposal-terms.ts";

type Speakers = Pick<DebateOptions, "debaters" | "judges" | "affords">;

interface Named {
  readonly name: string;
  readonly kind: DebaterKind;
}

const presetRounds = 2;
const maxSpeakers = 100;
const someSpeakers: OptionRule = {
  expected: `a list of at most ${maxSpeakers}`,
  accepts: (value) => Array.isArray(value) && value.length <= maxSpeakers,
};

export class DebateConductor {
  readonly #context: Proposing;
  readonly #proposals: ProposalDesk;
  readonly #desk: DebateDesk;
  readonly #tasks: TaskDesk;

  constructor(parts: {
    readonly context: Proposing;
    readonly proposals: ProposalDesk;
    readonly desk: DebateDesk;
    readonly tasks: TaskDesk;
  }) {
    this.#context = parts.context;
    this.#proposals = parts.proposals;
    this.#desk = parts.desk;
    this.#tasks = parts.tasks;
  }

  /** Opens a debate on a question, or finds it. @throws {CadreError} INVALID_OPTION */
  async open(
    asked: Proposed,
    options: DebateOptions,
    opening: Omit<Opening, "kind">,
  ): Promise<ProposalEntry> {
    checkDebateOptions(options);
    const known = await loadProposal(this.#context.store, opening.id);
    if (known) return known;
    const debaters = await Promise.all(options.debaters.map((each) => this.#named(each)));
    const judges = await Promise.all((options.judges ?? []).map((each) => this.#named(each)));
    return this.#open("debate.opened", asked, { ...options, named: { debaters, judges } }, opening);
  }

  /** Opens a proposal whose voters debate it before they decide, or finds it. */
  async openVote(
    proposed: Proposed,
    options: ProposeOptions & { readonly rounds: number },
    opening: Omit<Opening, "kind">,
  ): Promise<ProposalEntry> {
    const { rounds, ...rest } = options;
    checkProposeOptions("propose", rest);
    assertVotable(rest);
    const known = await loadProposal(this.#context.store, opening.id);
    if (known) return known;
    const { names, roles } = electorateOf(rest.voters);
    const holders = await Promise.all(roles.map((role) => holdersOf(this.#context, role)));
    const lineage = await this.#lineage(opening, rest.lineage);
    const voters = union(names, holders.flat()).filter((name) => !lineage.includes(name));
    const people = rest.voters.people ?? [];
    const debaters = await Promise.all(
      voters.map((name) => this.#named(people.includes(name) ? { person: name } : name)),
    );
    const { deadlineMs, quorum, weigh } = rest;
    const terms = {
      deadlineMs,
      rounds,
      positions: ["approve", "reject"],
      named: { debaters, judges: [] },
      votes: true,
      ...(quorum === undefined ? {} : { quorum }),
      ...(weigh === undefined ? {} : { weigh }),
    };
    return this.#open("action.proposed", proposed, terms, opening);
  }

  /** Takes the debate a step further. False when there is nothing to do but wait. */
  async advance(
    { state }: ProposalEntry,
    speakers: Partial<Speakers>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { id, debate } = state;
    if (!debate) return false;
    const { version } = (await loadProposal(this.#context.store, id))!;
    if (debate.phase === "judging") await this.#judge(state, debate, speakers, signal);
    else await this.#round(state, debate, speakers, signal);
    const now = await loadProposal(this.#context.store, id);
    return now !== undefined && now.version > version;
  }

  async #round(
    state: ProposalState,
    debate: DebateState,
    speakers: Partial<Speakers>,
    signal: AbortSignal,
  ): Promise<void> {
    const { phase, round } = debate;
    if (this.#context.clock.now() < debate.dueAt) {
      const toSpeak = stillToSpeak(debate);
      await Promise.all(toSpeak.map((each) => this.#hear(state, debate, each, speakers)));
      signal.throwIfAborted();
    }
    if (phase === "openings") return void (await this.#desk.reveal(state.id));
    const now = (await loadProposal(this.#context.store, state.id))?.state.debate;
    if (!now || now.phase !== "rounds" || now.round !== round) return;
    const isOver = stillToSpeak(now).length === 0 || this.#context.clock.now() >= now.dueAt;
    if (!isOver) return;
    // Asked once the round is over: what was said in it is judged in either case.
    const affords = speakers.affords ? await speakers.affords(now) : true;
    await this.#desk.endRound(state.id, round, affords);
  }

  async #hear(
    state: ProposalState,
    debate: DebateState,
    { name, kind }: Named,
    { debaters = [] }: Partial<Speakers>,
  ): Promise<void> {
    const { id } = state;
    const round = debate.phase === "openings" ? 0 : debate.round;
    const isOpening = round === 0;
    const view = viewOf(state, debate, name, round);
    try {
      if (kind === "person") return;
      const answer =
        kind === "function"
          ? await this.#askFunction(debate, name, debaters, view)
          : await this.#askAgent(state, name, {
              ...view,
              asks: isOpening ? "opening" : "turn",
            });
      if (answer === undefined) return;
      // A wrong answer is refused by the desk, whatever its type says.
      if (isOpening) await this.#desk.open(id, name, answer as DebateOpening);
      else await this.#desk.turn(id, name, answer as DebateReply);
    } catch (error) {
      if (isCadreError(error, "VOTE_REFUSED")) {
        const { reason } = error.details;
        // Another conductor was faster, or the time is up.
        if (reason === "twice" || reason === "not_now") return;
      } else if (!isFault(error)) throw error;
      await this.#desk.forfeit(id, name, round, describeError(error).message);
    }
  }

  async #askFunction(
    debate: DebateState,
    name: string,
    debaters: readonly Debater[],
    view: DebateView,
  ): Promise<DebateOpening | DebateReply> {
    const debater = debaters.find((each) => nameOf(each) === name);
    if (debater === undefined || typeof debater === "string" || "person" in debater) {
      throw new Fault(`there is no function for "${name}"`);
    }
    const ask = view.round === 0 ? debater.open : debater.turn;
    return this.#inTime(debate, name, () => ask(view));
  }

  /** What a function throws is its own fault, and not this task's. */
  async #inTime<Answer>(
    debate: DebateState,
    name: string,
    ask: () => Promise<Answer> | Answer,
  ): Promise<Answer> {
    const { clock } = this.#context;
    try {
      return await withinTime(clock, Math.max(1, debate.dueAt - clock.now()), name, ask);
    } catch (error) {
      throw new Fault(describeError(error).message);
    }
  }

  async #askAgent(
    state: ProposalState,
    name: string,
    question: DebateQuestion,
  ): Promise<DebateAnswer | undefined> {
    const { id, debate, deadlineAt } = state;
    const { clock, store } = this.#context;
    const taskId = `debate:${id}:${question.asks}:${question.round}:${name}`;
    const known = await this.#tasks.get(taskId);
    if (!known) {
      const entry = await loadProposal(store, id);
      const dueMs = Math.min(debate!.dueAt, deadlineAt) - clock.now();
      const task = question.asks === "opening" ? openingTask(name) : turnTask(name);
      await this.#tasks.create(task, question, {
        id: taskId,
        deadlineMs: Math.max(1, dueMs),
        ...(entry ? { cause: entry.last } : {}),
      });
      return undefined;
    }
    return answerOf(known);
  }

  async #judge(
    state: ProposalState,
    debate: DebateState,
    { judges = [] }: Partial<Speakers>,
    signal: AbortSignal,
  ): Promise<void> {
    const waiting = debate.judges.filter(
      ({ name }) => !debate.verdicts.some(({ judge }) => judge === name),
    );
    await Promise.all(waiting.map((each) => this.#hearJudge(state, debate, each, judges)));
    signal.throwIfAborted();
    await this.#desk.conclude(state.id);
  }

  async #hearJudge(
    state: ProposalState,
    debate: DebateState,
    { name, kind }: Named,
    judges: readonly Judge[],
  ): Promise<void> {
    if (kind === "person" || this.#context.clock.now() >= debate.dueAt) return;
    const all = viewOf(state, debate, name, debate.round + 1);
    const { debater: _debater, position: _position, ...shared } = all;
    const view: JudgeView = { ...shared, held: heldPositions(debate) };
    const judge = judges.find((each) => nameOf(each) === name);
    try {
      const answer =
        judge !== undefined && typeof judge !== "string" && "judge" in judge
          ? await this.#inTime(debate, name, () => judge.judge(view))
          : await this.#askAgent(state, name, { ...view, debater: name, asks: "judgement" });
      if (answer !== undefined) await this.#desk.judge(state.id, name, answer as Judgement);
    } catch (error) {
      // A judge that cannot judge is waited for until its time is up: the others may do without.
      if (!isCadreError(error, "VOTE_REFUSED") && !isFault(error)) throw error;
    }
  }

  async #open(
    type: string,
    asked: Proposed,
    terms: Omit<DebateOptions, "debaters" | "judges"> & {
      readonly named: { readonly debaters: readonly Named[]; readonly judges: readonly Named[] };
      readonly votes?: boolean;
    },
    opening: Omit<Opening, "kind">,
  ): Promise<ProposalEntry> {
    assertProposalId(opening.id);
    const { debaters, judges } = terms.named;
    const lineage = await this.#lineage(opening, terms.lineage);
    assertParty(debaters, judges, lineage);
    const content = toFrozenJson(asked.content ?? null);
    const { rounds = presetRounds, deadlineMs, votes = false } = terms;
    const deciding = (judges.length > 0 ? judges : debaters).map(({ name }) => name);
    const electorate = { names: deciding, roles: [] };
    const weigh = terms.weigh ?? this.#context.weigh;
    const everybody = { names: [...deciding, ...debaters.map(({ name }) => name)], roles: [] };
    const weights = weigh ? await weightsOf(this.#context, weigh, everybody) : {};
    const given = terms.quorum ?? (votes ? "majority" : 0);
    const now = this.#context.clock.now();
    const roundMs = terms.roundMs ?? Math.max(1, Math.floor(deadlineMs / (rounds + 2)));
    const known = deciding.map((name) => weights[name] ?? 1);
    const payload = {
      proposalId: opening.id,
      ...(type === "debate.opened" ? { question: asked.action } : {}),
      action: asked.action,
      content,
      contentHash: actionHash(asked.action, content),
      author: opening.author,
      ...(opening.task ? { taskId: opening.task.id } : {}),
      lineage,
      voters: deciding,
      quorum: quorumOf(given, { electorate, weights: known, mode: "approve" }),
      weights,
      deadlineAt: now + deadlineMs,
      debate: openingState(terms, { rounds, roundMs, votes, dueAt: now + roundMs }),
    };
    const event = this.#proposals.openingEvent(type, payload, { ...opening, kind: "debate" });
    return this.#proposals.commitOpening(opening.id, [event]);
  }

  async #lineage(
    { author, task }: Omit<Opening, "kind">,
    more: readonly string[] = [],
  ): Promise<readonly string[]> {
    const found = task ? await lineageOf(this.#context.store, task.id, task.correlationId) : [];
    return union([author, ...found], more);
  }

  async #named(speaker: Debater | Judge): Promise<Named> {
    const name = nameOf(speaker);
    assertVoterName(name);
    if (typeof speaker !== "string") {
      return { name, kind: "person" in speaker ? "person" : "function" };
    }
    const { roles, kind } = await knownVoter(this.#context, name);
    // An agent that is not there yet may come: only who is known as a person is one.
    const isPerson = kind === "person" && roles.length > 0;
    return { name, kind: isPerson ? "person" : "agent" };
  }
}

/** A speaker's own mistake: its turn is forfeited, and the debate goes on. */
class Fault extends Error {
  override readonly name: string = "Fault";
}

function isFault(error: unknown): boolean {
  return error instanceof Fault || isCadreError(error, "NOT_JSON");
}

/** The answer of a task that has one. @throws {Fault} when it failed */
function answerOf({ status, result, error }: TaskState): DebateAnswer | undefined {
  if (status === "completed") return result as unknown as DebateAnswer; // checked by its desk
  if (status !== "failed" && status !== "cancelled") return undefined;
  throw new Fault(error?.message ?? "its task was cancelled");
}

function nameOf(speaker: Debater | Judge): string {
  if (typeof speaker === "string") return speaker;
  return "person" in speaker ? speaker.person : speaker.name;
}

function viewOf(
  state: ProposalState,
  debate: DebateState,
  name: string,
  round: number,
): DebateView {
  const position = debate.debaters.find((each) => each.name === name)?.position;
  return {
    proposalId: state.id,
    question: state.action,
    content: state.content,
    debater: name,
    ...(debate.positions === undefined ? {} : { positions: debate.positions }),
    round,
    rounds: debate.rounds,
    ...(position === undefined ? {} : { position }),
    // What is said in this round is seen in the next: all speak at once.
    transcript: transcriptOf(debate, round),
  };
}

function openingState(
  terms: Pick<DebateOptions, "positions" | "tie" | "maxTurns"> & {
    readonly named: { readonly debaters: readonly Named[]; readonly judges: readonly Named[] };
  },
  times: Pick<DebateState, "rounds" | "roundMs" | "votes" | "dueAt">,
): DebateState {
  const { positions, tie = "undecided", maxTurns, named } = terms;
  return {
    ...times,
    phase: "openings",
    round: 0,
    ...(positions === undefined ? {} : { positions }),
    debaters: named.debaters.map((each) => ({ ...each, hasConceded: false, forfeits: 0 })),
    judges: named.judges,
    tie,
    ...(maxTurns === undefined ? {} : { maxTurns }),
    turns: [],
    forfeited: [],
    verdicts: [],
  };
}

function assertParty(
  debaters: readonly Named[],
  judges: readonly Named[],
  lineage: readonly string[],
): void {
  const all = [...debaters, ...judges].map(({ name }) => name);
  if (debaters.length < 2) throw refuse("debaters", "A debate needs at least two debaters.");
  const twice = all.find((name, index) => all.indexOf(name) !== index);
  if (twice !== undefined) {
    throw refuse("debaters", `"${twice}" has two parts in the debate. Give it one.`);
  }
  const own = all.find((name) => lineage.includes(name));
  if (own === undefined) return;
  const why = `"${own}" has worked on what is debated, and may have no part in it. Name another.`;
  throw refuse("debaters", why);
}

function assertVotable(options: ProposeOptions): void {
  const { voters, mode, escalate, vetoBy, minSeen, otherwise } = options;
  const other = { mode: mode === "veto", escalate, vetoBy, minSeen, otherwise };
  const set = Object.entries(other).find(([, value]) => value !== undefined && value !== false);
  if (set) throw refuse(set[0], `"${set[0]}" and "rounds" do not go together.`);
  if (!voters.validators?.length) return;
  throw refuse("voters", 'Validators and "rounds" do not go together. Validate it before.');
}

function refuse(option: string, message: string): CadreError {
  return new CadreError("INVALID_OPTION", message, { option });
}

function checkDebateOptions(options: DebateOptions): void {
  checkOptions("debate", options, {
    debaters: someSpeakers,
    judges: someSpeakers,
    positions: { expected: "a list of positions", accepts: Array.isArray },
    rounds: wholeNumber(0, 100),
    roundMs: wholeNumber(1),
    deadlineMs: wholeNumber(1),
    quorum: anything,
    tie: anything,
    maxTurns: wholeNumber(1),
    affords: anything,
    lineage: { expected: "a list of names", accepts: Array.isArray },
    weigh: anything,
  });
  if (options.deadlineMs !== undefined) return;
  throw refuse("deadlineMs", "A debate needs a deadline. Give deadlineMs.");
}
