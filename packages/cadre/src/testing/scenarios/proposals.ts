/**
 * Actions that happen only if others agree: agents vote, people approve, veto and edit, validators
 * refuse, debaters argue; and everybody dies at any moment.
 */
import assert from "node:assert/strict";

import type { AgentDefinition } from "../../agents/agent.ts";
import type { Cadre } from "../../agents/cadre.ts";
import { defineAgent } from "../../agents/define-agent.ts";
import { defineTask } from "../../agents/define-task.ts";
import type { ProposalState, Verdict } from "../../agents/proposals/proposal.ts";
import type { Clock } from "../../core/clock.ts";
import { isCadreError } from "../../core/errors.ts";
import { type } from "../../core/event-definition.ts";
import type { EventStore } from "../../store/event-store.ts";
import type { Scenario } from "../sim-options.ts";
import { CountingWorld } from "./world.ts";

type Kind = "agents" | "people" | "window" | "objected" | "silent" | "debated" | "voted";

const maxAttempts = 60; // the store fails often here, and each failure may cost an attempt
const minuteMs = 60_000;
const Act = defineTask({ name: "act", input: type<Kind>(), output: type<string>(), maxAttempts });
const Report = defineTask({
  name: "report",
  input: type<number>(),
  output: type<{ text: string; round: number }>(),
  maxAttempts,
});
const kinds: readonly Kind[] = [
  "agents",
  "people",
  "window",
  "objected",
  "silent",
  "debated",
  "voted",
];
const reports = [1, 2];

/** What the actions do, and what the debaters have seen. */
export class Council {
  readonly world: CountingWorld = new CountingWorld();
  /** What somebody saw before it was to be seen. */
  readonly early: string[] = [];
}

const terms = {
  agents: { voters: { role: "reviewer" }, quorum: 2, deadlineMs: 10 * minuteMs },
  people: { voters: { role: "manager" }, deadlineMs: 10 * minuteMs },
  window: { voters: { role: "manager" }, mode: "veto", deadlineMs: minuteMs },
  objected: { voters: { role: "manager" }, mode: "veto", deadlineMs: 10 * minuteMs },
  silent: {
    voters: { people: ["nobody"] },
    deadlineMs: minuteMs,
    escalate: [{ voters: { people: ["noone"] }, deadlineMs: minuteMs, earlyMs: 10_000 }],
  },
  voted: { voters: { role: "reviewer" }, quorum: 2, rounds: 2, deadlineMs: 10 * minuteMs },
} as const;

function actor(council: Council): AgentDefinition {
  return defineAgent({ name: "actor", capacity: 3, capabilities: ["reviewer"] })
    .votes(() => ({ verdict: "approve" }))
    .does(Act, async (kind, ctx) => {
      if (kind === "debated") {
        const { decided, position } = await ctx.debate("where to?", {
          debaters: ["d1", "d2", "d3"],
          rounds: 2,
          deadlineMs: 10 * minuteMs,
        });
        return decided ? `to ${position}` : "undecided";
      }
      const decision = await ctx.propose({ action: "act", content: { kind } }, terms[kind]);
      if (!decision.approved) return decision.status;
      const effect = (key: string): string => {
        council.world.effect(key);
        return decision.status;
      };
      const check = (key: string): string | undefined =>
        council.world.times(key) > 0 ? decision.status : undefined;
      return ctx.step("do", effect, { after: "check", check });
    })
    .does(
      Report,
      {
        validate: {
          voters: {
            role: "reviewer",
            validators: [{ name: "second", check: (made) => isSecond(made) || "once more" }],
          },
          deadlineMs: 10 * minuteMs,
        },
      },
      async (n, ctx) => {
        await ctx.sleep("write", 300);
        return { text: `report ${n}`, round: ctx.round };
      },
    );
}

function isSecond(made: unknown): boolean {
  return (made as { readonly round: number }).round === 2;
}

function reviewer(name: string, council: Council): AgentDefinition {
  return defineAgent({ name, capabilities: ["reviewer"] })
    .votes(async (_ballot, ctx) => {
      await ctx.clock.sleep(200);
      return { verdict: "approve", reason: name };
    })
    .debates(debating(name, "approve", council));
}

function debating(
  name: string,
  position: string,
  council: Council,
): Parameters<AgentDefinition["debates"]>[0] {
  return {
    open: async ({ transcript, debater }, ctx) => {
      if (transcript.length > 0) council.early.push(`${debater} saw an opening`);
      const argument = await ctx.step("think", () => `secret of ${name}`);
      await ctx.clock.sleep(300);
      return { position, argument, evidence: [name] };
    },
    turn: ({ round, transcript }) => {
      if (transcript.some((turn) => turn.round >= round)) council.early.push(`${name} saw a turn`);
      return { evidence: [`${name} ${round}`] };
    },
  };
}

function debater(name: string, position: string, council: Council): AgentDefinition {
  return defineAgent({ name }).debates(debating(name, position, council));
}

async function work(team: Cadre, clock: Clock): Promise<void> {
  for (const name of ["ana", "ben"]) await team.proposals.setPerson({ name, roles: ["manager"] });
  for (const kind of kinds) await team.tasks.create(Act, kind, { id: kind });
  for (const n of reports) await team.tasks.create(Report, n, { id: `report-${n}` });
  const people = await opened(team, clock, "people.act");
  const edited = await team.proposals.amend(people.id, { kind: "edited" }, { as: "ben" });
  await vote(team, edited, "ana", "approve");
  await vote(team, edited, "ana", "reject"); // too late, or on time and another's to decide
  await vote(team, await opened(team, clock, "objected.act"), "ben", "veto");
  for (const kind of kinds) {
    const { status, result, error } = await ended(team, clock, kind);
    const isLost = status === "failed" && error?.code === "LEASE_LOST";
    const isExpected = status === "completed" && expected[kind].includes(result as string);
    assert.ok(isExpected || isLost, `${kind} is ${status}: ${JSON.stringify(result ?? error)}`);
  }
  for (const n of reports) {
    const { status, result, error } = await ended(team, clock, `report-${n}`);
    if (status === "completed") assert.deepEqual(result, { text: `report ${n}`, round: 2 });
    else assert.match(error?.code ?? status, /VALIDATION_FAILED|LEASE_LOST/, `report ${n}`);
  }
}

/**
 * An agent that dies too often answers no ballot, and what nobody decides expires. A task that has
 * lost too many owners fails while it waits.
 */
const expected: Readonly<Record<Kind, readonly string[]>> = {
  agents: ["approved", "expired"],
  people: ["approved"],
  window: ["approved"],
  objected: ["vetoed"],
  silent: ["expired"],
  debated: ["to north", "to south", "undecided"],
  voted: ["approved", "expired"],
};

async function opened(team: Cadre, clock: Clock, id: string): Promise<ProposalState> {
  for (;;) {
    const state = await team.proposals.get(id);
    if (state) return state;
    await clock.sleep(500);
  }
}

async function ended(
  team: Cadre,
  clock: Clock,
  id: string,
): Promise<NonNullable<Awaited<ReturnType<Cadre["tasks"]["get"]>>>> {
  for (;;) {
    const task = await team.tasks.get(id);
    if (task && ["completed", "failed", "cancelled"].includes(task.status)) return task;
    await clock.sleep(1_000);
  }
}

async function vote(
  team: Cadre,
  { id, contentHash }: ProposalState,
  as: string,
  verdict: Verdict,
): Promise<void> {
  await team.proposals.vote(id, { as, verdict, hash: contentHash }).catch((error: unknown) => {
    if (!isCadreError(error, "VOTE_REFUSED")) throw error;
  });
}

/**
 * No effect without its approval, none twice; and no approval without its effect, unless its task
 * has lost too many owners in between.
 */
async function effectsAreApproved(store: EventStore, council: Council): Promise<readonly string[]> {
  const approved = new Set<string>();
  for await (const { event } of store.read({ type: "action.approved" })) {
    approved.add((event.payload as { readonly proposalId: string }).proposalId);
  }
  const failed = new Set<string>();
  for await (const { event } of store.read({ type: "task.failed" })) {
    failed.add((event.payload as { readonly taskId: string }).taskId);
  }
  const wrong = [...council.early];
  for (const kind of kinds) {
    const times = council.world.times(`${kind}/do`);
    const due = approved.has(`${kind}.act`) && kind !== "debated" ? 1 : 0;
    if (failed.has(kind) ? times > due : times !== due)
      wrong.push(`${kind} happened ${times} times, and ${due} were approved`);
  }
  return wrong;
}

/** Nothing that the bus may carry holds an opening before it is revealed. */
async function openingsAreSealed(store: EventStore): Promise<readonly string[]> {
  const revealed = new Set<string>();
  const wrong: string[] = [];
  for await (const stored of store.read()) {
    const { event, stream = "" } = stored;
    if (event.type === "debate.revealed") revealed.add(stream);
    if (stored.private || !JSON.stringify(event.payload).includes("secret of")) continue;
    if (revealed.size === 0) wrong.push(`${stream} told an opening in ${event.type}`);
  }
  return wrong;
}

/** See the head of the file. */
export const proposals: Scenario<Council> = {
  world: () => new Council(),
  agents: (_process, council) => [
    actor(council),
    reviewer("r1", council),
    reviewer("r2", council),
    reviewer("r3", council),
    debater("d1", "north", council),
    debater("d2", "north", council),
    debater("d3", "south", council),
  ],
  work: (team, _council, clock) => work(team, clock),
  invariants: [effectsAreApproved, openingsAreSealed],
};
