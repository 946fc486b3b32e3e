/**
 * What must compile, and what must not. Nothing here runs: `tsc -p tsconfig.json` is the test, and
 * an expected error that doesn't come is one.
 */
import { type as ark } from "arktype";
import {
  builtinEvents,
  createBus,
  defineEvents,
  type,
  type BuiltinEvents,
  type EventRegistry,
  type Transport,
} from "cadre";
import * as valibot from "valibot";
import { z } from "zod";

import type { Bus } from "#src/bus/bus.ts";
import type { AgentEvent } from "#src/core/event.ts";
import type {
  CheckedPattern,
  EventMap,
  EventOf,
  EventType,
  PayloadOf,
} from "#src/core/event-types.ts";
import { holds, type Equal } from "./equal.ts";

type Events = {
  "task.created": { taskId: string; title: string };
  "task.completed": { taskId: string; result: number };
  "task.failed": { taskId: string; reason: string };
  "task.assigned.*": { taskId: string; epoch: number };
  "agent.*.query": { question: string };
  "agent.created": { agent: string };
  "custom.#": { [key: string]: unknown };
};

declare const bus: Bus<Events>;
declare const anyBus: Bus;
declare const name: string;
declare const transport: Transport;

type TypesSeen<Pattern extends string> = EventOf<Events, Pattern>["type"];

export function patternsSeeTheirTypes(): void {
  holds<Equal<TypesSeen<"task.created">, "task.created">>();
  holds<Equal<TypesSeen<"task.*">, "task.created" | "task.completed" | "task.failed">>();
  holds<
    Equal<
      TypesSeen<"task.#">,
      "task.created" | "task.completed" | "task.failed" | `task.assigned.${string}`
    >
  >();
  holds<
    Equal<
      TypesSeen<"#.created">,
      "task.created" | "agent.created" | "custom" | `custom.${string}` | `task.assigned.${string}`
    >
  >();
  holds<Equal<TypesSeen<"task.assigned.reader">, "task.assigned.reader">>();
  holds<Equal<TypesSeen<"agent.*.*">, `agent.${string}.query`>>();
  holds<Equal<TypesSeen<"custom.order.placed">, "custom.order.placed">>();
  holds<Equal<TypesSeen<"custom">, "custom">>();
  holds<Equal<TypesSeen<"nope.*">, never>>();
  holds<Equal<EventOf<Events>, EventOf<Events, "#">>>();
  holds<Equal<EventOf<Events, string>, EventOf<Events, "#">>>();
  holds<Equal<EventOf<Readonly<Record<string, unknown>>, "a.b">, AgentEvent>>();
}

export function typesHaveTheirPayload(): void {
  holds<Equal<PayloadOf<Events, "task.failed">, { taskId: string; reason: string }>>();
  holds<Equal<PayloadOf<Events, "task.assigned.reader">, { taskId: string; epoch: number }>>();
  holds<Equal<PayloadOf<Events, "custom.a.b">, { [key: string]: unknown }>>();
  holds<"task.assigned.reader" extends EventType<Events> ? true : false>();
  holds<Equal<CheckedPattern<"task.*", Events>, "task.*">>();
  holds<Equal<CheckedPattern<string, Events>, string>>();
}

export async function publishing(): Promise<void> {
  const event = await bus.publish("task.created", { taskId: "1", title: "read" });
  holds<Equal<typeof event.type, "task.created">>();
  await bus.publish("task.assigned.reader", { taskId: "1", epoch: 2 });
  await bus.publish(`agent.${name}.query`, { question: "who?" });
  await bus.publishBatch([{ type: "task.failed", payload: { taskId: "1", reason: "ill" } }]);
  await anyBus.publish("anything.at.all", { free: true });

  // @ts-expect-error the type is not in the registry
  await bus.publish("task.creatd", { taskId: "1", title: "read" });
  // @ts-expect-error the title is missing
  await bus.publish("task.created", { taskId: "1" });
  // @ts-expect-error the family's payload has a number as epoch
  await bus.publish("task.assigned.reader", { taskId: "1", epoch: "2" });
  // @ts-expect-error a family's type has its last word
  await bus.publish("task.assigned", { taskId: "1", epoch: 2 });
  // @ts-expect-error the payload of another type
  await bus.publishBatch([{ type: "task.failed", payload: { taskId: "1", result: 1 } }]);
}

export async function subscribing(): Promise<void> {
  await bus.subscribe("task.*", async (event, delivery) => {
    holds<Equal<typeof event.type, "task.created" | "task.completed" | "task.failed">>();
    if (event.type === "task.failed") event.payload.reason.trim();
    // @ts-expect-error only a failed task has a reason
    else event.payload.reason.trim();
    await delivery.publish("task.completed", { taskId: event.payload.taskId, result: 1 });
    // @ts-expect-error what a handler publishes is checked as well
    await delivery.publish("task.completed", { taskId: event.payload.taskId, result: "1" });
    // @ts-expect-error events are immutable
    event.timestamp = 0;
  });
  await bus.subscribe("task.failed", { group: "g", also: ["agent.created"] }, (event) => {
    holds<Equal<typeof event.type, "task.failed" | "agent.created">>();
  });
  await bus.subscribe("task.failed", { group: "g" }, (event) => {
    holds<Equal<typeof event.type, "task.failed">>();
  });
  await bus.subscribe(name, (event) => {
    holds<Equal<typeof event, EventOf<Events, "#">>>();
  });
  await bus.subscribe(`agent.${name}.query`, (event) => {
    holds<Equal<typeof event.payload, { question: string }>>();
  });
  await bus.respond("agent.*.query", { group: "answers" }, (event) => event.payload.question);
  for await (const event of bus.listen("task.assigned.reader")) event.payload.epoch.toFixed();
  await anyBus.subscribe("what.ever.*", (event) => {
    holds<Equal<typeof event.payload, unknown>>();
  });

  // @ts-expect-error no type has this first word
  await bus.subscribe("tsk.*", () => {});
  // @ts-expect-error the second pattern matches nothing
  await bus.subscribe("task.*", { also: ["tsk.*"] }, () => {});
  // @ts-expect-error two words too many
  bus.listen("task.created.by.me");
  // @ts-expect-error no type has this first word
  await bus.respond("agnt.*.query", {}, () => null);
}

export function aTypedBusIsABus(): Bus {
  return bus;
}

export function anyBusCanBeGivenARegistry<Map extends EventMap>(any: Bus): Bus<Map> {
  return any as Bus<Map>;
}

const shop = defineEvents(
  {
    "order.placed": type<{ orderId: string }>(),
    "order.note.*": z.object({ text: z.string(), size: z.number().default(1) }),
    "order.weighed": valibot.object({ grams: valibot.number() }),
    "order.named": ark({ name: "string" }),
    "order.paid": { schema: z.object({ cents: z.number() }), version: "2.0.0" },
    "order.raw": { type: "object" },
    "task.created": type<{ mine: true }>(),
  },
  { extends: builtinEvents },
);
type MapOf<Registry> = Registry extends EventRegistry<infer Map> ? Map : never;
type Shop = MapOf<typeof shop>;

export function payloadsAreInferredFromTheirSchemas(): void {
  holds<Equal<Shop["order.placed"], { orderId: string }>>();
  holds<Equal<Shop["order.note.*"], { text: string; size: number }>>();
  holds<Equal<Shop["order.weighed"], { grams: number }>>();
  holds<Equal<Shop["order.named"], { name: string }>>();
  holds<Equal<Shop["order.paid"], { cents: number }>>();
  holds<Equal<Shop["order.raw"], unknown>>();
  holds<Equal<Shop["task.created"], { mine: true }>>();
  holds<Equal<Shop["task.claimed"], BuiltinEvents["task.claimed"]>>();
}

export async function theWholeRegistryWorksOnABus(shopBus: Bus<Shop>): Promise<void> {
  await shopBus.publish("order.note.customer", { text: "ring twice", size: 2 });
  await shopBus.publish("task.assigned.reader", { taskId: "1" });
  await shopBus.publish("custom.anything.goes", { free: 1 });
  await shopBus.subscribe("task.*", (event) => {
    if (event.type === "task.claimed") event.payload.incarnation.trim();
    if (event.type === "task.created") holds<Equal<typeof event.payload, { mine: true }>>();
  });
  await shopBus.subscribe("#", (event) => {
    if (event.type === "score.updated") event.payload.score.toFixed();
  });

  // @ts-expect-error the built-in payload is replaced
  await shopBus.publish("task.created", { taskId: "1" });
  // @ts-expect-error a claim names its epoch
  await shopBus.publish("task.claimed", { taskId: "1", agent: "a", incarnation: "i" });
  // @ts-expect-error nothing of the shop or of Cadre is called so
  await shopBus.subscribe("ordr.*", () => {});
}

const open = defineEvents({ "order.placed": type<{ orderId: string }>() }, { closed: false });

export async function anOpenRegistryTakesEverything(
  openBus: Bus<MapOf<typeof open>>,
): Promise<void> {
  await openBus.publish("weather.rain", { mm: 3 });
  await openBus.subscribe("weather.*", (event) => event.type);
  // @ts-expect-error what is declared is checked all the same
  await openBus.publish("order.placed", { orderId: 3 });
}

interface Deliveries {
  "parcel.sent": { parcelId: string };
  "parcel.*.lost": { by: string };
}

export async function anInterfaceIsAMapOfEvents(
  parcels: Bus<Deliveries>,
  registry: EventRegistry<Deliveries>,
): Promise<void> {
  const any: Bus = parcels;
  const anyRegistry: EventRegistry = registry;
  holds<Equal<MapOf<typeof registry>["parcel.sent"], { parcelId: string }>>();
  const made: Bus<Deliveries> = createBus({ transport, events: registry });
  const plain = { transport, events: anyRegistry };
  await createBus(plain).publish("anything.goes", {});
  await parcels.subscribe("parcel.#", (event) => {
    if (event.type === "parcel.sent") event.payload.parcelId.trim();
    // @ts-expect-error a parcel that is lost has no id
    else event.payload.parcelId.trim();
  });
  await made.publish("parcel.train.lost", { by: "the railway" });
  // @ts-expect-error the id is a text
  await parcels.publish("parcel.sent", { parcelId: 1 });
  // @ts-expect-error no type of the interface is called so
  await parcels.publish("parcel.found", {});
  await any.publish("parcel.found", {});
  const extended = defineEvents({ "parcel.found": type<{ at: string }>() }, { extends: registry });
  holds<Equal<MapOf<typeof extended>["parcel.sent"], { parcelId: string }>>();
}
