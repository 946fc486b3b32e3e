// An orchestrator's task is another orchestrator's feature: time, budget and tenant go down,
// results and failures come up; and a handler that hands work on to several.
import { TerminalError, type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";

const Page = defineTask({ name: "page", input: type<string>(), output: type<number>() });
const Chapter = defineTask({ name: "chapter", input: type<string[]>(), output: type<number>() });
const Title = defineTask({ name: "title", input: type<string>(), output: type<string>() });
const Cover = defineTask({ name: "cover", input: type<string>(), output: type<string>() });

// One at a time: who waits for his own tasks must not hold them up.
const press = defineAgent({ name: "press" })
  .does(Page, (text) => {
    if (text === "") throw new TerminalError("a page is empty");
    return text.length;
  })
  .does(Chapter, async (pages, ctx) => {
    const lengths = await ctx.feature("pages", {
      title: `Chapter of ${pages.length} pages`,
      budget: { calls: 9, tokens: 9_000 },
      tasks: pages.map((page, n) => ({ name: `p${n + 1}`, definition: Page, input: page })),
    });
    return Object.values(lengths).reduce((sum: number, length) => sum + Number(length), 0);
  });

// Two of three titles are enough; the painter, not the clerk, makes the cover.
const poets = ["ann", "bob", "cleo"].map((name) =>
  defineAgent({ name }).does(Title, async (about, ctx) => {
    if (name === "cleo") await ctx.sleep("muse", 600_000);
    return `${about} by ${name}`;
  }),
);
const clerk = defineAgent({ name: "clerk" }).does(Cover, async (about, ctx) => {
  const asked = { agents: ["ann", "bob", "cleo"], input: about };
  await ctx.scatter("titles", Title, asked, { quorum: 2 });
  return ctx.handoff({ agent: "painter" }, "I cannot draw");
});
const painter = defineAgent({ name: "painter" }).does(Cover, async (about, ctx) => {
  const asked = { agents: ["ann", "bob", "cleo"], input: about };
  const titles = await ctx.scatter("titles", Title, asked, { quorum: 2 });
  const [handoff] = ctx.task.handoffs ?? [];
  return `${titles.length} titles; ${handoff?.from} said: ${handoff?.note}`;
});

await using team = await startCadre({ agents: [press, ...poets, clerk, painter] });

const book = await team.features.create({
  id: "book",
  title: "A book",
  tenant: "acme",
  budget: { tokens: 500 },
  tasks: [
    { name: "one", definition: Chapter, input: ["once", "upon"] },
    { name: "two", definition: Chapter, input: ["a", "time"] },
  ],
});
console.log((await book.finished()).status, await book.results());
const nested = await (await team.features.get("book.one/pages"))?.state();
console.log(nested?.title, nested?.status, nested?.tenant, nested?.budget);

const torn = await team.features.create({
  id: "torn",
  title: "A torn book",
  tasks: [{ name: "one", definition: Chapter, input: ["once", ""] }],
});
const [above, below] = (await torn.finished()).reason?.split(/(?<=is blocked:) |\. /) ?? [];
console.log(`${above}\n${below}`);

const cover = await team.tasks.create(Cover, "Rain", { assignTo: "clerk" });
console.log(await cover.result());

/* Output:
completed { one: 8, two: 5 }
Chapter of 2 pages completed acme { tokens: 500, calls: 9 }
its task "one" failed: Feature "Chapter of 2 pages" (torn.one/pages) is blocked:
its task "p2" failed: a page is empty
2 titles; clerk said: I cannot draw
*/
