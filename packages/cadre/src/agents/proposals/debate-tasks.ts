/** How an agent is asked for its part in a debate: a task that only that agent can do. */
import { type } from "../../core/event-definition.ts";
import { TerminalError } from "../../core/errors.ts";
import { anything, checkOptions } from "../../core/options.ts";
import { defineTask } from "../define-task.ts";
import type { TaskDefinition, TaskState } from "../task.ts";
import type { DebateOpening, DebateReply, DebateView, JudgeView, Judgement } from "./debate.ts";

/** What an agent is asked: to open, to take its turn, or to judge. */
export type DebateQuestion =
  | (DebateView & { readonly asks: "opening" | "turn" })
  | (JudgeView & { readonly asks: "judgement"; readonly debater: string });

/** What it answers: one of them, as it was asked. */
export type DebateAnswer = DebateOpening | DebateReply | Judgement;

/** What an agent does in debates. */
export interface DebatePart<Context> {
  readonly open?: (view: DebateView, context: Context) => Promise<DebateOpening> | DebateOpening;
  readonly turn?: (view: DebateView, context: Context) => Promise<DebateReply> | DebateReply;
  readonly judge?: (view: JudgeView, context: Context) => Promise<Judgement> | Judgement;
}

const sealedName = "debate.opening";
const turnName = "debate.turn";
const maxAttempts = 10; // a debater that is killed again and again is asked again

export const debateCapability = (agent: string): string => `debate.${agent}`;

/** The opening is sealed: what its owner writes to its stream is kept from the bus. */
export function openingTask(agent: string): TaskDefinition<DebateQuestion, DebateAnswer> {
  return part(sealedName, agent);
}

export function turnTask(agent: string): TaskDefinition<DebateQuestion, DebateAnswer> {
  return part(turnName, agent);
}

function part(name: string, agent: string): TaskDefinition<DebateQuestion, DebateAnswer> {
  return defineTask({
    name,
    capability: debateCapability(agent),
    input: type<DebateQuestion>(),
    output: type<DebateAnswer>({ type: "object" }),
    maxAttempts,
  });
}

/** The tasks by which an agent is asked, with what it does. */
export function debateWork(
  agent: string,
  part: DebatePart<never>,
): readonly {
  readonly definition: TaskDefinition;
  readonly run: (question: DebateQuestion, context: never) => unknown;
}[] {
  checkOptions(`debates of agent "${agent}"`, part, {
    open: anything,
    turn: anything,
    judge: anything,
  });
  const { open, turn, judge } = part;
  const run = (question: DebateQuestion, context: never): unknown => {
    const { asks, ...view } = question;
    if (asks === "judgement" && judge) return judge(view as JudgeView, context);
    if (asks === "opening" && open) return open(view, context);
    if (asks === "turn" && turn) return turn(view, context);
    throw new TerminalError(`Agent "${agent}" has no ${asks} to give.`);
  };
  // The handler's types belong to the task beside it.
  return [openingTask(agent), turnTask(agent)].map((definition) => ({
    definition: definition as unknown as TaskDefinition,
    run,
  }));
}

/** The debate that a task belongs to. */
export function proposalOfTurn({ name, input }: TaskState): string | undefined {
  if (name !== sealedName && name !== turnName) return undefined;
  return (input as unknown as DebateQuestion).proposalId; // checked when it was created
}

/** Whether the bus may not see what the task's owner writes. */
export function isSealed({ name }: Pick<TaskState, "name">): boolean {
  return name === sealedName;
}
