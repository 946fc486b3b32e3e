// A goal with a plan: tasks that need each other's results, a task that fails, and a plan that is
// mended while it runs.
import { TerminalError, isCadreError, type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";

const Fetch = defineTask({
  name: "fetch",
  input: type<{ paper: string }>(),
  output: type<string[]>(),
});
const Compare = defineTask({
  name: "compare",
  input: type<{ results?: Record<string, string[]> }>(),
  output: type<string>(),
});

const papers: Record<string, string[]> = {
  times: ["rain", "tax"],
  herald: ["rain", "bridge"],
};
const fetcher = defineAgent({ name: "fetcher", capacity: 2 }).does(Fetch, ({ paper }) => {
  const words = papers[paper];
  if (!words) throw new TerminalError(`there is no paper "${paper}"`);
  return words;
});
const editor = defineAgent({ name: "editor" }).does(Compare, ({ results = {} }) => {
  const [first = [], ...others] = Object.values(results);
  return first.filter((word) => others.every((words) => words.includes(word))).join();
});

await using team = await startCadre({ agents: [fetcher, editor] });

// Everything that is wrong with a plan is said at once, before anything is begun.
try {
  await team.features.create({
    title: "In a circle",
    budget: { calls: 1 },
    tasks: [
      { name: "a", definition: Compare, input: {}, dependsOn: ["b"], budget: { calls: 2 } },
      { name: "b", definition: Compare, input: {}, dependsOn: ["a"] },
    ],
  });
} catch (error) {
  if (!isCadreError(error, "INVALID_PLAN")) throw error;
  for (const problem of error.details.problems) console.log("refused:", problem);
}

const feature = await team.features.create({
  id: "monday",
  title: "What is in all papers?",
  deadlineMs: 60_000,
  tasks: [
    { name: "times", definition: Fetch, input: { paper: "times" } },
    { name: "post", definition: Fetch, input: { paper: "post" } },
    { name: "common", definition: Compare, input: {}, dependsOn: ["times", "post"] },
  ],
});
const blocked = await feature.finished();
console.log(`${blocked.status}: ${blocked.reason?.split(". ").join(".\n  ")}`);

await feature.patch({
  remove: ["post"],
  add: [{ name: "herald", definition: Fetch, input: { paper: "herald" } }],
  replace: [{ name: "common", dependsOn: ["times", "herald"] }],
});
const { status, completed, total } = await feature.finished();
console.log(status, completed, "of", total);
console.log("in all papers:", (await feature.results())["common"]);

/* Output:
refused: its tasks may spend 2 calls together, and the feature has 1
refused: it has a cycle among: a, b
blocked: its task "post" failed: there is no paper "post".
  Retry it (patch: retry: ["post"]), replace its input, or remove it
completed 3 of 3
in all papers: rain
*/
