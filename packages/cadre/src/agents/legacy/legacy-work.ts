/**
 * The bridge's side of one task: what it journals while an older agent works.
 *
 *   claim ──▶ assign N ──TASK_ASSIGNED──▶ the older agent
 *                │
 *                ├── heard: completed ─────▶ the result, under this epoch
 *                ├── heard: failed ────────▶ this attempt has failed
 *                └── silent for too long ──▶ the lease lapses; offered again with the next epoch
 *
 * The round N ends with its outcome. What a round came to is journaled with the epoch at which it
 * did: an entry at that epoch acts on it, a later one goes on with round N + 1. A bridge that dies
 * within a round is one that enters it again: it sends nothing and waits for the same work.
 */
import { RetryableError, TerminalError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import type { JsonValue } from "../../core/json.ts";
import type { TaskContext } from "../agent.ts";
import { failureOf, membersOf } from "./legacy-words.ts";
import type { LegacyDesk } from "./legacy-desk.ts";

/** Types under which the bridge hands to its team what it has heard. */
export const heardTypes = {
  claim: "custom.legacy.claim",
  result: "custom.legacy.result",
} as const;

/** What a round's first step has on record. */
export interface Assignment {
  /** Nobody yet, where the older side chooses. */
  readonly agent: string | null;
  /** Of the bridge's claim when it was sent. */
  readonly epoch: number;
}

/** Names of the steps; the desk reads them again from the log. */
export const assignStep = (round: number): string => `assign ${round}`;
export const lapsedStep = (round: number): string => `lapsed ${round}`;
const turnName = (what: string, round: number, turn: number): string => `${what} ${round}.${turn}`;

export interface LegacyWorkOptions {
  /** The older agent's name. */
  readonly agent: string;
  /** The name in which the bridge tells the team what it has heard: nobody else is believed. */
  readonly bridge: string;
  readonly silentMs: number;
  /** Who claims in the older system. */
  readonly claim: "assigned" | "announced";
}

/** Runs a task by way of an older agent. */
export async function workByLegacy(
  ctx: TaskContext,
  desk: LegacyDesk,
  options: LegacyWorkOptions,
): Promise<JsonValue> {
  await desk.ready(ctx.signal);
  for (let round = 1; ; round += 1) {
    const assignment = await assign(ctx, desk, options, round);
    const heard = await listen(ctx, desk, options, { round, assignment });
    if (heard === undefined) {
      const silentAt = await ctx.step(lapsedStep(round), () => ctx.epoch);
      if (silentAt !== ctx.epoch) continue;
      const who = assignment.agent ?? "Every older agent";
      const message = `${who} was silent about task ${ctx.task.id} for ${options.silentMs} ms.`;
      throw new RetryableError(message, { lapsed: true });
    }
    if (heard.type === "completed") return desk.resultOf(heard.event);
    const failedAt = await ctx.step(`failed ${round}`, () => ctx.epoch);
    if (failedAt !== ctx.epoch) continue;
    const { message, final } = failureOf(heard.event);
    throw final ? new TerminalError(message) : new Error(message);
  }
}

async function assign(
  ctx: TaskContext,
  desk: LegacyDesk,
  { agent, claim }: LegacyWorkOptions,
  round: number,
): Promise<Assignment> {
  const to = claim === "assigned" ? agent : undefined;
  return ctx.step<Assignment>(
    assignStep(round),
    async (key) => {
      await desk.send(ctx.task, { key, to, round });
      return { agent: to ?? null, epoch: ctx.epoch };
    },
    {
      after: "check",
      // Where the older topics can be read, they tell whether it was sent before the bridge died.
      check: async (key) =>
        (await desk.wasSent(key, to)) ? { agent: to ?? null, epoch: ctx.epoch } : undefined,
    },
  );
}

interface Round {
  readonly round: number;
  readonly assignment: Assignment;
}

interface Heard {
  readonly type: "completed" | "failed";
  readonly event: AgentEvent;
}

/** Waits turn by turn, each as long as an agent may be silent; nothing when it was. */
async function listen(
  ctx: TaskContext,
  desk: LegacyDesk,
  { silentMs, bridge }: LegacyWorkOptions,
  { round, assignment }: Round,
): Promise<Heard | undefined> {
  let { agent } = assignment;
  const done = desk.follow(ctx);
  try {
    for (let turn = 1; ; turn += 1) {
      const isClaimed = agent !== null;
      const event = await ctx.waitFor(isClaimed ? heardTypes.result : heardTypes.claim, {
        name: turnName(isClaimed ? "result" : "claim", round, turn),
        where: {
          source: bridge,
          "payload.taskId": ctx.task.id,
          "payload.assignment": round,
          ...(isClaimed ? { "payload.agent": agent } : {}),
        },
        timeoutMs: silentMs,
      });
      const members = membersOf(event?.payload);
      const by = members["agent"];
      if (event && !isClaimed) agent = typeof by === "string" ? by : null;
      else if (event) {
        return { type: members["outcome"] === "completed" ? "completed" : "failed", event };
      } else {
        const of = agent;
        const name = turnName("alive", round, turn);
        const isAlive = await ctx.step(name, () => desk.isHeard(of, silentMs));
        if (!isAlive) return undefined;
      }
    }
  } finally {
    done();
  }
}
