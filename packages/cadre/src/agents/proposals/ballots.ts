/**
 * Ballots: how an agent is asked for its vote. A ballot is a task that only that agent can do, so
 * it survives what a task survives; what it returns becomes the agent's vote, once.
 */
import { type } from "../../core/event-definition.ts";
import type { JsonValue } from "../../core/json.ts";
import type { EventStore } from "../../store/event-store.ts";
import { defineTask } from "../define-task.ts";
import { applyTask, taskIdOf, taskStreamPrefix } from "../task-fold.ts";
import type { TaskDefinition, TaskState } from "../task.ts";
import type { ProposalMode, ProposalState, Verdict, Vote } from "./proposal.ts";

/** What an agent is shown that is asked for its vote. */
export interface Ballot<Content = JsonValue> {
  readonly proposalId: string;
  readonly kind: ProposalState["kind"];
  readonly action: string;
  readonly content: Content;
  readonly contentHash: string;
  readonly revision: number;
  readonly mode: ProposalMode;
  readonly author: string;
  /** What the deterministic validators have said. */
  readonly rules: readonly Pick<Vote, "voter" | "verdict" | "reason">[];
  readonly deadlineAt: number;
}

/** What an agent answers. */
export interface BallotAnswer {
  readonly verdict: Exclude<Verdict, "seen">;
  readonly reason?: string;
  readonly evidence?: unknown;
  /** 0 to 1. */
  readonly confidence?: number;
}

const ballotName = "ballot";
const verdicts = ["approve", "reject", "veto", "abstain"] as const;

/** The capability by which an agent, and no other, is asked. */
export const ballotCapability = (agent: string): string => `${ballotName}.${agent}`;

/** Whether only this agent can be asked: for its vote, or its word in a debate. */
export function isAskedPersonally(agent: string, capability: string): boolean {
  return capability === ballotCapability(agent) || capability === `debate.${agent}`;
}

/** The task by which an agent is asked for its vote. */
export function ballotTask(agent: string): TaskDefinition<Ballot, BallotAnswer> {
  return defineTask({
    name: ballotName,
    capability: ballotCapability(agent),
    input: type<Ballot>(),
    output: type<BallotAnswer>({
      type: "object",
      required: ["verdict"],
      properties: {
        verdict: { enum: [...verdicts] },
        reason: { type: "string" },
        confidence: { type: "number", minimum: 0, maximum: 1 },
      },
    }),
    maxAttempts: ballotAttempts,
  });
}

const ballotAttempts = 10; // a voter that is killed again and again is asked again

/** One revision is asked about once. */
export function ballotId({ id, revision }: ProposalState, agent: string): string {
  return `${ballotName}:${id}:${revision}:${agent}`;
}

export function ballotOf(state: ProposalState): Ballot {
  const { id, kind, action, content, contentHash, revision, mode, author, deadlineAt } = state;
  const rules = state.votes
    .filter((vote) => vote.kind === "rule")
    .map(({ voter, verdict, reason }) => ({
      voter,
      verdict,
      ...(reason === undefined ? {} : { reason }),
    }));
  return {
    proposalId: id,
    kind,
    action,
    content,
    contentHash,
    revision,
    mode,
    author,
    rules,
    deadlineAt,
  };
}

/** The proposal that a task is a ballot of. */
export function proposalOfBallot({ name, input }: TaskState): string | undefined {
  if (name !== ballotName) return undefined;
  return (input as unknown as Ballot).proposalId; // checked when it was created
}

/** A ballot that has come back, and who has answered it. */
export interface AnsweredBallot {
  readonly id: string;
  readonly agent: string;
  readonly ballot: Ballot;
  readonly answer: BallotAnswer;
}

/** The ballots of a proposal: those that have come back, and those that are out. */
export async function readBallots(
  store: EventStore,
  proposalId: string,
): Promise<{ readonly answered: readonly AnsweredBallot[]; readonly open: readonly TaskState[] }> {
  const states = new Map<string, TaskState>();
  const agents = new Map<string, string>();
  const streamPrefix = `${taskStreamPrefix}${ballotName}:${proposalId}:`;
  for await (const { stream = "", event } of store.read({ streamPrefix })) {
    const id = taskIdOf(stream);
    const state = applyTask(states.get(id), event);
    if (!state || proposalOfBallot(state) !== proposalId) continue;
    states.set(id, state);
    const { agent } = event.payload as { readonly agent?: string };
    if (event.type === "task.completed" && agent !== undefined) agents.set(id, agent);
  }
  const answered: AnsweredBallot[] = [];
  const open: TaskState[] = [];
  for (const state of states.values()) {
    const { id, status } = state;
    if (status === "completed") {
      const ballot = state.input as unknown as Ballot;
      const answer = state.result as unknown as BallotAnswer;
      answered.push({ id, agent: agents.get(id) ?? "", ballot, answer });
    } else if (status !== "failed" && status !== "cancelled") {
      open.push(state);
    }
  }
  return { answered, open };
}
