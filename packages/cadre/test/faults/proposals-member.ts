/**
 * One process of the team whose proposals are decided while it is killed: the author, the voters,
 * or one that only decides. Effects are lines of a file, written once a key.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";

import { type } from "cadre";
import { defineAgent, defineTask, startCadre, type AnyAgent } from "cadre/agents";

export type ActKind = "approved" | "vetoed" | "window" | "debated" | "validated";
export type MemberPart = "author" | "voters" | "decider";

export const Act = defineTask({
  name: "act",
  input: type<{ kind: ActKind; n: number }>(),
  output: type<string>(),
  maxAttempts: 1_000,
});

const thinkMs = 40; // long enough to be killed in
const deadlineMs = 600_000; // a machine that is busy starts a process in many seconds
const windowMs = 1_500;

function author(effects: string): AnyAgent {
  const done = (key: string): boolean =>
    existsSync(effects) && readFileSync(effects, "utf8").split("\n").includes(key);
  return defineAgent({ name: "author", capacity: 8 }).does(Act, async ({ kind }, ctx) => {
    if (kind === "debated") {
      const { position = "undecided" } = await ctx.debate("where to?", {
        debaters: ["v1", "v2", "v3"],
        rounds: 1,
        deadlineMs,
      });
      return position;
    }
    if (kind === "validated") {
      const voters = { agents: ["v1", "v2"], validators: [{ name: "any", check: () => true }] };
      return ctx.validated("fine", { voters, quorum: 2, deadlineMs });
    }
    const options =
      kind === "window"
        ? ({ voters: { people: ["ana"] }, mode: "veto", deadlineMs: windowMs } as const)
        : { voters: { role: "reviewer" }, quorum: 2, deadlineMs };
    const { status, approved } = await ctx.propose({ action: "act", content: { kind } }, options);
    if (!approved) return status;
    const effect = (key: string): string => {
      appendFileSync(effects, `${key}\n`);
      return status;
    };
    return ctx.step("do", effect, {
      after: "check",
      check: (key) => (done(key) ? status : undefined),
    });
  });
}

function voters(): AnyAgent[] {
  return ["v1", "v2", "v3"].map((name, index) =>
    defineAgent({ name, capabilities: ["reviewer"], capacity: 4 })
      .votes(async ({ content }, ctx) => {
        await ctx.clock.sleep(thinkMs);
        const { kind } = content as { readonly kind?: ActKind };
        return { verdict: kind === "vetoed" ? "reject" : "approve" };
      })
      .debates({
        open: async (_view, ctx) => {
          await ctx.clock.sleep(thinkMs);
          return { position: index === 0 ? "north" : "south", evidence: [name] };
        },
        turn: async ({ round }, ctx) => {
          await ctx.clock.sleep(thinkMs);
          return { evidence: [`${name} ${round}`] };
        },
      }),
  );
}

/** The agents of one part. */
export function agentsOf(part: MemberPart, effects: string): AnyAgent[] {
  if (part === "author") return [author(effects)];
  return part === "voters" ? voters() : [];
}

const [part, store, effects] = process.argv.slice(2);
if (part !== undefined && store !== undefined && effects !== undefined) {
  await startCadre({
    name: part,
    agents: agentsOf(part as MemberPart, effects),
    store,
    heartbeatMs: 100,
    suspectAfterMs: 500,
    leaseMs: 1_000,
  });
  process.send?.("running");
}
