// Two agents, a feature of three tasks, and the results handed from task to task.
import { type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";

const Count = defineTask({
  name: "count.words",
  input: type<{ text: string }>(),
  output: type<number>(),
});
const Report = defineTask({
  name: "write.report",
  input: type<{ results?: Record<string, number> }>(),
  output: type<string>(),
});

const reader = defineAgent({ name: "reader", capacity: 2 }).does(
  Count,
  ({ text }) => text.split(" ").length,
);
const editor = defineAgent({ name: "editor" }).does(Report, ({ results = {} }) => {
  const total = Object.values(results).reduce((sum, count) => sum + count, 0);
  return `${total} words in ${Object.keys(results).length} texts`;
});

await using team = await startCadre({ agents: [reader, editor] });

const feature = await team.features.create({
  title: "Count the poems",
  tasks: [
    { name: "first", definition: Count, input: { text: "the fog comes on little cat feet" } },
    { name: "second", definition: Count, input: { text: "so much depends upon" } },
    { name: "report", definition: Report, input: {}, dependsOn: ["first", "second"] },
  ],
});

const { status, completed } = await feature.finished();
console.log(status, completed);
for (const task of await feature.tasks()) console.log(task.name, task.status, task.result);

/* Output:
completed 3
count.words completed 7
count.words completed 4
write.report completed 11 words in 2 texts
*/
