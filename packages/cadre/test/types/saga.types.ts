/** What the steps of a saga see of each other. What must not compile says why. */
import { type } from "cadre";
import { defineAgent, defineSaga, type Cadre, type TaskContext } from "cadre/agents";

const Saga = defineSaga({ name: "order", input: type<{ readonly item: string }>() }, (saga) =>
  saga
    .step("reserve", ({ input }) => ({ shelf: input.item.length }), {
      undo: ({ result, input }) => {
        void result?.shelf.toFixed();
        // @ts-expect-error: in doubt there is no result
        void result.shelf;
        void input.item;
      },
    })
    .parallel(
      (branch) => branch.step("left", ({ results }) => results.reserve.shelf),
      // @ts-expect-error: a branch does not see what runs beside it
      (branch) => branch.step("right", ({ results }) => results.left),
    )
    .step("charge", ({ results }) => `${results.left + results.reserve.shelf}`, {
      undo: ({ results }) => {
        void results.left;
        // @ts-expect-error: an undo sees the steps before its own
        void results.ship;
      },
      check: ({ key, results }) => key + results.left,
    })
    .waitFor("paid", "order.paid")
    .returns(({ results }) => (results.paid ? results.charge.length : "late")),
);

export const Early = defineSaga({ name: "x", input: type<null>() }, (saga) =>
  // @ts-expect-error: a step that is not there yet
  saga.step("a", ({ results }) => results.b),
);

defineAgent({ name: "shop" }).does(Saga);

export async function outputs(team: Cadre, ctx: TaskContext): Promise<string | number> {
  const handle = await team.sagas.start(Saga, { item: "book" }, { key: "1" });
  // @ts-expect-error: the input is an item
  await team.sagas.start(Saga, { thing: 1 }, { key: "1" });
  const found: number = await ctx.step("a", { n: 1 }, (_key, input) => input.n, {
    undo: ({ input, result }) => [input.n, result?.toFixed()],
  });
  // @ts-expect-error: an input is what it is
  await ctx.step("b", { n: 1 }, (_key, input) => input.m);
  return (await handle.result()) ?? found;
}
