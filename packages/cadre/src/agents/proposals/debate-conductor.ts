/**
 * Conducts debates for the task that asks: asks who is to speak, ends rounds, has it judged.
 *
 * Where a debate stands is in its stream alone. A conductor that dies is followed by the next
 * attempt of the task; two at once do no harm. Functions are asked here; agents are given tasks;
 * people answer from outside.
 */
import { describeError, isCadreError } from "../../core/errors.ts";
import type { TaskDesk } from "../task-desk.ts";
import type { TaskState } from "../task.ts";
import { withinTime } from "../within-time.ts";
import type {
  Debater,
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
import { nameOf, type Named } from "./debate-opening.ts";
import { heldPositions, stillToSpeak, transcriptOf } from "./debate-outcome.ts";
import { openingTask, turnTask, type DebateAnswer, type DebateQuestion } from "./debate-tasks.ts";
import type { ProposalState } from "./proposal.ts";
import { loadProposal, type ProposalEntry, type Proposing } from "./proposal-log.ts";

type Speakers = Pick<DebateOptions, "debaters" | "judges" | "affords">;

export class DebateConductor {
  readonly #context: Proposing;
  readonly #desk: DebateDesk;
  readonly #tasks: TaskDesk;

  constructor(parts: {
    readonly context: Proposing;
    readonly desk: DebateDesk;
    readonly tasks: TaskDesk;
  }) {
    this.#context = parts.context;
    this.#desk = parts.desk;
    this.#tasks = parts.tasks;
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
    const hearAll = async (): Promise<void> => {
      const toSpeak = stillToSpeak(debate);
      await Promise.all(toSpeak.map((each) => this.#hear(state, debate, each, speakers)));
      signal.throwIfAborted();
    };
    if (!this.#isOver(debate)) await hearAll();
    // An agent may have answered in time while nobody listened.
    if (this.#isOver(debate)) await hearAll();
    if (phase === "openings") return void (await this.#desk.reveal(state.id));
    const now = (await loadProposal(this.#context.store, state.id))?.state.debate;
    if (!now || now.phase !== "rounds" || now.round !== round) return;
    const isOver = stillToSpeak(now).length === 0 || this.#context.clock.now() >= now.dueAt;
    if (!isOver) return;
    // Asked once the round is over: what was said in it is judged in either case.
    const affords = speakers.affords ? await speakers.affords(now) : true;
    await this.#desk.endRound(state.id, round, affords);
  }

  #isOver({ dueAt }: DebateState): boolean {
    return this.#context.clock.now() >= dueAt;
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
      if (kind === "person" || (kind === "function" && this.#isOver(debate))) return;
      const answer =
        kind === "function"
          ? await this.#askFunction(debate, name, debaters, view)
          : await this.#askAgent(state, name, {
              ...view,
              asks: isOpening ? "opening" : "turn",
            });
      if (answer === undefined) return;
      // A wrong answer is refused by the desk, whatever its type says.
      const isInTime = kind === "agent"; // its task ends with the round
      if (isOpening) await this.#desk.open(id, name, answer as DebateOpening, isInTime);
      else await this.#desk.turn(id, name, answer as DebateReply, isInTime);
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
      if (this.#isOver(debate!)) return undefined;
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
    if (kind === "person" || (kind === "function" && this.#isOver(debate))) return;
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
