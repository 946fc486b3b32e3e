/**
 * The author, the voters, or whoever decides dies before or after any one write: the next one ends
 * the proposal as it must end, once, and nothing happens without its approval.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, type AnyAgent } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { checkLog } from "#src/testing/sim-invariants.ts";
import { dyingStore, type Death } from "./dying-store.ts";

const minute = 60_000;
const Act = defineTask({ name: "act", input: type<string>(), output: type<string>() });
const Report = defineTask({ name: "report", output: type<number>() });

/** What stands outside of every process. */
class World {
  readonly done: string[] = [];
  readonly early: string[] = [];
}

const author = (world: World): AnyAgent =>
  defineAgent({ name: "author", capacity: 2 })
    .does(Act, async (kind, ctx) => {
      if (kind === "debate") {
        const { position = "undecided" } = await ctx.debate("where to?", {
          debaters: ["v1", "v2", "v3"],
          judges: [{ name: "judge", judge: ({ held }) => ({ position: held.at(-1)! }) }],
          rounds: 1,
          deadlineMs: 10 * minute,
        });
        return position;
      }
      const window = { mode: "veto", deadlineMs: minute } as const;
      const vote = { voters: { role: "reviewer" }, quorum: 2, deadlineMs: 10 * minute } as const;
      const { approved, status } = await ctx.propose(
        { action: "act", content: { kind } },
        kind === "window" ? { ...vote, ...window } : vote,
      );
      if (!approved) return status;
      const once = { after: "check", check: (key: string) => find(world, key) } as const;
      return ctx.step("do", (key) => (world.done.push(key), status), once);
    })
    .does(
      Report,
      {
        validate: {
          voters: {
            agents: ["v1", "v2"],
            validators: [{ name: "two", check: (n) => n === 2 || "not two" }],
          },
          quorum: 2,
          deadlineMs: 10 * minute,
        },
      },
      (_input, ctx) => ctx.round,
    );

function find(world: World, key: string): string | undefined {
  return world.done.includes(key) ? "approved" : undefined;
}

const voters = (world: World): AnyAgent[] =>
  ["v1", "v2", "v3"].map((name, index) =>
    defineAgent({ name, capabilities: ["reviewer"] })
      .votes(({ content }) => {
        const { kind } = (content ?? {}) as { readonly kind?: string };
        return { verdict: kind === "vetoed" || kind === "window" ? "reject" : "approve" };
      })
      .debates({
        open: ({ transcript }) => {
          if (transcript.length > 0) world.early.push(name);
          return { position: index === 0 ? "north" : "south", evidence: [name] };
        },
        turn: ({ round }) => ({ evidence: [`${name} ${round}`] }),
      }),
  );

type Kind = "approved" | "vetoed" | "window" | "debate" | "report";
type Who = "author" | "voters" | "decider";

const results: Readonly<Record<Kind, unknown>> = {
  approved: "approved",
  vetoed: "vetoed",
  window: "vetoed",
  debate: "south",
  report: 2,
};

async function runWith(kind: Kind, who: Who, death: Death | undefined): Promise<number> {
  const world = new World();
  const bench = testTeam();
  const { mortal, writes } = dyingStore(
    bench.store,
    death,
    ({ appends = [] }) => appends.length > 0,
  );
  const parts: Readonly<Record<Who, () => AnyAgent[]>> = {
    author: () => [author(world)],
    voters: () => voters(world),
    decider: () => [],
  };
  const client = await bench.start({ name: "client" });
  const task =
    kind === "report"
      ? await client.tasks.create(Report, undefined, { id: "t" })
      : await client.tasks.create(Act, kind, { id: "t" });
  for (const each of ["decider", "voters", "author"] as const) {
    const agents = parts[each]();
    await bench.start({ name: each, agents, ...(each === who ? { store: mortal } : {}) });
  }
  await bench.clock.advance(5_000);
  if (death) await bench.start({ name: "next", agents: parts[who]() });
  const what = JSON.stringify({ kind, who, death });
  const result = await bench.until(
    task.result().catch((error: Error) => error.message),
    30 * minute,
  );
  assert.equal(result, results[kind], what);
  assert.deepEqual(world.done, kind === "approved" ? ["t/do"] : [], what);
  assert.deepEqual(world.early, [], what);
  await bench.clock.advance(1_000);
  const log = [];
  for await (const stored of bench.store.read()) log.push(stored);
  const { violations } = checkLog(log);
  const about = violations.filter(({ invariant }) => invariant === "proposals");
  assert.deepEqual(about, [], what);
  return writes();
}

for (const kind of Object.keys(results) as Kind[]) {
  for (const who of ["author", "voters", "decider"] as const) {
    test(`${kind}: the ${who} may die at any write`, async () => {
      const writes = await runWith(kind, who, undefined);
      assert.ok(who === "decider" || writes >= 1, `${writes} writes`);
      for (let at = 1; at <= writes; at += 1) {
        for (const when of ["before", "after"] as const) await runWith(kind, who, { at, when });
      }
    });
  }
}
