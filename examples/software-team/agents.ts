/** Who does what. No model is asked: all of them are rules. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { TerminalError, isCadreError } from "cadre";
import { defineAgent, type AnyAgent, type TaskContext } from "cadre/agents";
import { applyStrategy } from "./codemods.ts";
import {
  Analyse,
  Fix,
  Integrate,
  MakeGreen,
  teamEvents,
  type Candidate,
  type Change,
  type FixInput,
  type MakeGreenInput,
  type MakeGreenResult,
} from "./contract.ts";
import { complaints, healthOf } from "./examination.ts";
import { planRound } from "./plan.ts";
import { releaseSaga } from "./release.ts";
import type { Repository } from "./repository.ts";
import { honestTypes, objections } from "./review.ts";

const answerMs = 600_000; // for a tester on a machine that does other things, or a person
const mostRounds = 5;

/** The team around one repository. Coders differ by name, so that a refused one can be relieved. */
export function teamOf(repository: Repository, crew: string): readonly AnyAgent[] {
  const Release = releaseSaga(repository);
  const lead = defineAgent({ name: "lead" }).does(MakeGreen, (input, ctx) =>
    makeGreen(input, ctx, (name, version, commit) => ctx.call(name, Release, { version, commit })),
  );
  const analyst = defineAgent({ name: "analyst", events: teamEvents }).does(
    Analyse,
    async ({ commit, round }, ctx) => {
      const health = await ctx.step("examine", () => healthOf(repository, commit));
      for (const { id, message, tests } of health.findings) {
        await ctx.publish("library.finding.reported", { round, id, message, tests });
      }
      return health;
    },
  );
  const coder = defineAgent({ name: `coder-${crew}`, capacity: 2 }).does(Fix, (input, ctx) =>
    fix(repository, input, ctx),
  );
  const tester = defineAgent({ name: "tester" }).votes<Candidate>(async ({ content }) => {
    const wrong = complaints(content, await healthOf(repository, content.commit));
    if (wrong.length === 0) return { verdict: "approve" };
    return { verdict: "reject", reason: wrong.join("; ") };
  });
  const reviewer = defineAgent({ name: "reviewer" }).votes<Change>(({ content }) => {
    const wrong = objections(content);
    if (wrong.length === 0) return { verdict: "approve" };
    return { verdict: "reject", reason: wrong.join("; ") };
  });
  const releaseManager = defineAgent({ name: "release-manager" })
    .does(Release)
    .does(
      Integrate,
      // Released only when the tester has passed it.
      { validate: { voters: { agents: ["tester"] }, deadlineMs: answerMs, rounds: 1 } },
      async ({ base, round, tips, results = {} }, ctx) => {
        const merges = tips.map((tip) => ({
          commit: results[tip]?.commit ?? base,
          message: `Round ${round}: ${tip}`,
        }));
        const commit = await ctx.step("merge", { base, merges }, async () => {
          const merged = await repository.merge(base, merges, "team");
          await repository.git(["update-ref", `refs/heads/round-${round}`, merged]);
          return merged;
        });
        return { commit, mayFail: [], mayRemain: [] };
      },
    );
  return [lead, analyst, coder, tester, reviewer, releaseManager];
}

/** Of the plan's tasks, the last one. */
interface RoundResults {
  readonly integrate: Candidate;
}

type AskForRelease = (name: string, version: string, commit: string) => Promise<unknown>;

/** Rounds of analysis and repair until nothing is found; then the merge, if people agree. */
async function makeGreen(
  input: MakeGreenInput,
  ctx: TaskContext,
  release: AskForRelease,
): Promise<MakeGreenResult> {
  let commit = input.base;
  let round = 1;
  for (; ; round += 1) {
    const health = await ctx.call(`analyse.${round}`, Analyse, { commit, round });
    if (health.findings.length === 0 && health.failing.length === 0) break;
    if (round > mostRounds) throw new TerminalError(`not green after ${mostRounds} rounds`);
    const tasks = planRound(commit, round, health);
    const title = `Round ${round}: ${health.findings.length} findings`;
    const { integrate } = await ctx.feature<RoundResults>(`round-${round}`, { title, tasks });
    ({ commit } = integrate);
  }
  const rounds = round - 1;
  const window = input.vetoWindowMs;
  const decision = await ctx.propose(
    { action: "merge into main", content: { commit, version: input.version } },
    {
      name: "merge",
      voters: { role: "maintainer" },
      ...(window === undefined
        ? { mode: "approve", deadlineMs: answerMs }
        : { mode: "veto", deadlineMs: window }),
    },
  );
  if (!decision.approved) return { rounds, merged: false, decision: decision.reason };
  const refused = await release("try", input.refusedVersion, commit).then(
    () => "it was not refused",
    (error: unknown) => {
      if (isCadreError(error, "REQUEST_FAILED")) return error.message;
      throw error;
    },
  );
  await release("release", input.version, commit);
  return { rounds, merged: true, decision: decision.reason, refused };
}

/**
 * Tries strategies until one is accepted. One that is refused ends the attempt, so that the next
 * one is another coder's; it finds what was tried in the journal, and goes on behind it.
 */
async function fix(repository: Repository, input: FixInput, ctx: TaskContext): Promise<Change> {
  const { finding, health, results = {} } = input;
  const base = Object.values(results)[0]?.commit ?? input.base;
  const mayFail = health.failing.filter((test) => !finding.tests.includes(test));
  const mayRemain = health.findings.map(({ id }) => id).filter((id) => id !== finding.id);
  for (let number = 0; ; number += 1) {
    const made = await ctx.step(`change.${number}`, { base, number }, () =>
      makeChange(repository, { ...input, base }, number),
    );
    if (made === null) throw new TerminalError(`no strategy is left for ${finding.id}`);
    const change: Change = { ...made, finding: finding.id, mayFail, mayRemain };
    const { approved, reason, status } = await ctx.propose(
      { action: "accept a change", content: change },
      {
        name: `accept.${number}`,
        voters: { agents: ["tester", "reviewer"], validators: [honestTypes] },
        quorum: "all",
        deadlineMs: answerMs,
      },
    );
    if (approved) return change;
    if (status !== "vetoed") throw new TerminalError(`nobody has answered: ${reason}`);
    if (number + 1 >= ctx.attempt) throw new Error(`"${change.strategy}": ${reason}`);
  }
}

/** A strategy's change, committed on a branch of its own; null, when there is no such strategy. */
async function makeChange(
  repository: Repository,
  { finding, base }: FixInput,
  number: number,
): Promise<Pick<Change, "commit" | "strategy" | "diff"> | null> {
  const text = await repository.worktree(base, (folder) =>
    readFile(join(folder, finding.file), "utf8"),
  );
  const changed = applyStrategy(text, finding, number);
  if (!changed) return null;
  const commit = await repository.commitFiles({
    base,
    branch: `fix/${finding.id}/${number + 1}`,
    files: { [finding.file]: changed.text },
    message: `${finding.id}: ${changed.name}`,
    role: "coder",
  });
  return { commit, strategy: changed.name, diff: await repository.diff(base, commit) };
}
