/**
 * What the compiler knows of a team and its agents through their registries. Nothing here runs:
 * `tsc -p tsconfig.json` is the test, and an expected error that doesn't come is one.
 */
import { builtinEvents, defineEvents, type, type Bus } from "cadre";
import {
  defineAgent,
  defineTask,
  startCadre,
  type AgentContext,
  type Cadre,
  type CadreOptions,
} from "cadre/agents";
import { holds, type Equal } from "./equal.ts";

const events = defineEvents({
  "order.placed": type<{ orderId: string }>(),
  "order.paid": type<{ orderId: string; cents: number }>(),
  "parcel.*.lost": type<{ by: string }>(),
  "task.created": type<{ mine: true }>(),
});

const Pack = defineTask({ name: "pack", input: type<{ orderId: string }>(), output: type<null>() });

export async function aTeamIsTypedByItsRegistry(): Promise<void> {
  const team = await startCadre({ events });
  await team.bus.publish("order.placed", { orderId: "1" });
  await team.bus.publish("parcel.train.lost", { by: "the railway" });
  await team.bus.publish("custom.anything", { goes: true });
  await team.bus.subscribe("order.*", (event) => {
    if (event.type === "order.paid") event.payload.cents.toFixed();
    // @ts-expect-error an order that was placed is not paid
    else event.payload.cents.toFixed();
  });
  await team.bus.subscribe("task.*", (event) => {
    if (event.type === "task.claimed") event.payload.incarnation.trim();
    if (event.type === "task.created") holds<Equal<typeof event.payload, { mine: true }>>();
  });
  // @ts-expect-error the id is a text
  await team.bus.publish("order.placed", { orderId: 1 });
  // @ts-expect-error neither the registry nor Cadre has this type
  await team.bus.publish("order.eaten", {});
  // @ts-expect-error no type begins so
  await team.bus.subscribe("ordr.*", () => {});
  const anyTeam: Cadre = team;
  const anyBus: Bus = team.bus;
  await anyBus.publish("order.eaten", {});
  await anyTeam.close();
}

export async function aTeamWithoutARegistryIsOpen(options: CadreOptions): Promise<void> {
  const team = await startCadre();
  holds<Equal<typeof team, Cadre>>();
  await team.bus.publish("anything.goes", {});
  holds<Equal<Awaited<ReturnType<typeof startCadre>>, Cadre>>();
  const given = await startCadre(options);
  await given.bus.publish("anything.goes", {});
  const more = await startCadre({ ...options, name: "more" });
  await more.bus.publish("anything.goes", {});
  // @ts-expect-error there is no such option
  await startCadre({ evnets: events });
}

export function anAgentIsTypedByItsRegistry(): void {
  const clerk = defineAgent({ name: "clerk", events })
    .on("order.*", async (event, ctx) => {
      if (event.type === "order.paid") event.payload.cents.toFixed();
      const placed = await ctx.publish("order.placed", { orderId: event.payload.orderId });
      placed.payload.orderId.trim();
      await ctx.ask("order.paid", { orderId: "1", cents: 2 });
      await ctx.publish("custom.note", { free: true });
      // @ts-expect-error cents are missing
      await ctx.publish("order.paid", { orderId: "1" });
      // @ts-expect-error cents are a number
      await ctx.ask("order.paid", { orderId: "1", cents: "2" });
      // @ts-expect-error neither the registry nor Cadre has this type
      await ctx.publish("order.eaten", {});
    })
    .on("task.completed", { ephemeral: true }, (event) => event.payload.taskId.trim())
    .on("task.created", (event) => holds<Equal<typeof event.payload, { mine: true }>>())
    .does(Pack, async ({ orderId }, ctx) => {
      const paid = await ctx.waitFor("order.paid", { where: { "payload.orderId": orderId } });
      paid?.payload.cents.toFixed();
      // @ts-expect-error no type begins so
      await ctx.waitFor("ordr.paid");
      return null;
    });
  // @ts-expect-error no type of the registry is matched
  clerk.on("ordr.*", () => {});
  // @ts-expect-error who hears an order placed hears no cents
  clerk.on("order.placed", ({ payload }) => payload.cents);
  void startCadre({ agents: [clerk, defineAgent({ name: "other" })], events });
}

export function anAgentWithARegistryMayHaveAState(): void {
  const state = { initial: { orders: 0 }, apply: (now: { orders: number }) => now };
  defineAgent({ name: "counter", events, state }).on("order.placed", (event, ctx) => {
    ctx.state.orders.toFixed();
    event.payload.orderId.trim();
    // @ts-expect-error the state counts orders alone
    ctx.state.parcels.toFixed();
  });
}

async function sayDone(ctx: AgentContext): Promise<void> {
  await ctx.publish("custom.done", {});
}

export function aFunctionOfAnyContextTakesATypedOne(): void {
  defineAgent({ name: "teller", events }).on("order.placed", async (_event, ctx) => sayDone(ctx));
  const all = defineEvents({ "order.placed": type<{ n: number }>() }, { extends: builtinEvents });
  defineAgent({ name: "all", events: all }).on("order.placed", ({ payload }) =>
    payload.n.toFixed(),
  );
}

export function anAgentWithoutARegistryIsOpen(pattern: string): void {
  defineAgent({ name: "open" }).on("anything.*", async (event, ctx) => {
    holds<Equal<typeof event.type, string>>();
    holds<Equal<typeof event.payload, unknown>>();
    await ctx.publish("anything.goes", event.payload);
  });
  defineAgent({ name: "late", events }).on(pattern, (event) => event.type.trim());
}
