/**
 * Types for helpers beside a registry: of its events, its team, its ballots, rules and features.
 * Nothing here runs: `tsc -p tsconfig.json` is the test, and an expected error that doesn't come is
 * one.
 */
import {
  defineEvents,
  defineProjection,
  type,
  type Bus,
  type EventOf,
  type EventsOf,
  type JsonValue,
} from "cadre";
import {
  defineAgent,
  defineRule,
  defineTask,
  startCadre,
  type Ballot,
  type FeaturePlan,
  type Rule,
  type TeamOf,
} from "cadre/agents";
import { holds, type Equal } from "./equal.ts";

const events = defineEvents({
  "order.placed": type<{ orderId: string }>(),
  "order.paid": type<{ orderId: string; cents: number }>(),
});

type ShopEvents = EventsOf<typeof events>;

interface Change {
  readonly diff: string;
  readonly files: readonly string[];
}

export function theEventsOfARegistryHaveAName(event: EventOf<ShopEvents, "order.*">): void {
  holds<Equal<ShopEvents["order.paid"], { orderId: string; cents: number }>>();
  if (event.type === "order.paid") event.payload.cents.toFixed();
  // @ts-expect-error an order that was placed is not paid
  else event.payload.cents.toFixed();
}

async function place(team: TeamOf<typeof events>, orderId: string): Promise<void> {
  await team.bus.publish("order.placed", { orderId });
  await team.bus.subscribe("task.created", ({ payload }) => payload.taskId.trim());
  // @ts-expect-error neither the registry nor Cadre has this type
  await team.bus.publish("order.eaten", {});
}

export async function aHelperTakesTheTeamOfARegistry(bus: Bus<ShopEvents>): Promise<void> {
  await using team = await startCadre({ events });
  await place(team, "1");
  await bus.publish("order.paid", { orderId: "1", cents: 5 });
  const others = await startCadre({ events: defineEvents({ "parcel.sent": type<{}>() }) });
  // @ts-expect-error a team of another registry has no orders
  await place(others, "2");
}

export function aBallotMayBeOfAKnownType(): void {
  defineAgent({ name: "reviewer" }).votes<Change>(({ content }) => {
    holds<Equal<typeof content, Change>>();
    return { verdict: content.files.length > 3 ? "reject" : "approve" };
  });
  defineAgent({ name: "tester" }).votes((ballot: Ballot<Change>) => {
    return { verdict: ballot.content.diff === "" ? "reject" : "approve" };
  });
  defineAgent({ name: "open" }).votes(({ content }) => {
    holds<Equal<typeof content, JsonValue>>();
    // @ts-expect-error nothing is known of it
    return content.diff === "" ? { verdict: "reject" } : { verdict: "approve" };
  });
}

export function aRuleMayBeOfAKnownType(): readonly Rule[] {
  const small = defineRule<Change>("small", ({ files }) => files.length < 4);
  // @ts-expect-error a change has no lines
  const none = defineRule<Change>("none", ({ lines }) => lines === 0);
  return [small, none, { name: "any", check: (content) => content !== null }];
}

const Round = defineTask({ name: "round", input: type<FeaturePlan>(), output: type<Change>() });

export function theResultsOfAFeatureMayBeOfKnownTypes(): void {
  defineAgent({ name: "lead" }).does(Round, async (plan, ctx) => {
    const { integrate } = await ctx.feature<{ readonly integrate: Change }>("round", plan);
    const others = await ctx.feature("other", plan);
    holds<Equal<(typeof others)[string], JsonValue>>();
    return integrate;
  });
}

export function aProjectionByTypeMaySeeEveryEvent(): void {
  const shape = { name: "sales", events, initial: { seen: 0, cents: 0 } };
  defineProjection({
    ...shape,
    every: (state) => ({ ...state, seen: state.seen + 1 }),
    apply: {
      "order.paid": (state, { payload }) => ({ ...state, cents: state.cents + payload.cents }),
      "#": (state, event) => {
        // @ts-expect-error nothing is known of the others
        event.payload.orderId.trim();
        return state;
      },
    },
  });
  defineProjection({
    ...shape,
    apply: {
      // @ts-expect-error the registry has no such type
      "order.eaten": (state) => state,
    },
  });
}
