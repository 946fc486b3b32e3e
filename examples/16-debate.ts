// Three agents argue about a question. Their openings are sealed until all are in; each turn brings
// new evidence or concedes; a judge decides, and who was of another mind is on record. The
// debaters are plain functions here: a model or a person would be asked the same.
import { type } from "cadre";
import { defineAgent, defineTask, startCadre, type DebateResult } from "cadre/agents";

const Decide = defineTask({
  name: "decide",
  input: type<string>(),
  output: type<DebateResult>(),
});

const moderator = defineAgent({ name: "moderator" }).does(Decide, (question, ctx) =>
  ctx.debate(question, {
    name: "storage",
    debaters: ["frugal", "careful", "hasty"],
    judges: [
      {
        name: "arbiter",
        // It reads the whole transcript, and is convinced by evidence and not by numbers.
        judge: ({ held, transcript }) => {
          const brought = (position: string): number =>
            transcript
              .filter((turn) => turn.position === position)
              .reduce((sum, { evidence }) => sum + evidence.length, 0);
          const [best = ""] = [...held].sort((a, b) => brought(b) - brought(a));
          return { position: best, reason: `${brought(best)} pieces of evidence` };
        },
      },
    ],
    rounds: 2,
    deadlineMs: 60_000,
  }),
);

/** An agent that holds a position, with the evidence that it brings in each round. */
function debater(name: string, position: string, evidence: readonly (readonly string[])[]) {
  return defineAgent({ name }).debates({
    open: () => ({ position, evidence: evidence[0] ?? [] }),
    turn: ({ round }) => ({ evidence: evidence[round] ?? [] }),
  });
}

const frugal = debater("frugal", "sqlite", [["one file"], ["no server to run"], ["backup is cp"]]);
const careful = debater("careful", "postgres", [
  ["several hosts write", "point in time recovery"],
  ["LISTEN and NOTIFY", "a team knows it already"],
  ["measured: 4 hosts"],
]);
// It has heard something better in the first round, and says so.
const hasty = defineAgent({ name: "hasty" }).debates({
  open: () => ({ position: "a text file", evidence: ["it is there"] }),
  turn: ({ transcript }) => {
    const best = transcript.find(({ evidence }) => evidence.length > 1)?.position ?? "sqlite";
    return { concedes: best, argument: "two reasons beat one" };
  },
});

const team = await startCadre({ agents: [moderator, frugal, careful, hasty] });
const task = await team.tasks.create(Decide, "Where do we keep the log?", { id: "d1" });
const result = await task.result();
for (const { round, debater: name, position, evidence, concedes } of result.transcript) {
  const said = concedes === undefined ? evidence.map(String).join(", ") : "concedes";
  console.log(`${round} ${name} (${position}): ${said}`);
}
for (const { judge, position, reason } of result.verdicts) {
  console.log(`${judge} decides: ${position}, by ${reason}`);
}
console.log(`of another mind: ${result.dissent.map((turn) => turn.debater).join(", ")}`);
await team.close();

/* Output:
0 frugal (sqlite): one file
0 careful (postgres): several hosts write, point in time recovery
0 hasty (a text file): it is there
1 frugal (sqlite): no server to run
1 careful (postgres): LISTEN and NOTIFY, a team knows it already
1 hasty (postgres): concedes
2 frugal (sqlite): backup is cp
2 careful (postgres): measured: 4 hosts
arbiter decides: postgres, by 5 pieces of evidence
of another mind: frugal
 */
