import assert from "node:assert/strict";
import { publishInOrder } from "../../bus/ordered-publish.ts";
import { isCadreError } from "../../core/errors.ts";
import type { AgentEvent } from "../../core/event.ts";
import { utf8Bytes } from "../../core/json.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { eventOf, idsOf, Member, numbered, specOf } from "./member.ts";

const enoughBytes = 1_048_576; // a carrier without a limit of its own shows a mebibyte
const mostBytes = 67_108_864; // a larger event takes a check too long to make
const envelopeBytes = 1_024; // what a wire format may add

/** Publishes to a fresh group and returns what arrives, in order. */
async function roundTrip(
  context: CheckContext,
  events: readonly AgentEvent[],
): Promise<AgentEvent[]> {
  const transport = await context.createTransport();
  const member = await Member.open(context, transport, specOf(context, context.topic("#")));
  for (const event of events) await context.publish(transport, [event]);
  return member.handle(events.length);
}

function sortById(events: readonly AgentEvent[]): AgentEvent[] {
  return events.toSorted((left, right) => (left.id < right.id ? -1 : 1));
}

async function arriveEqual(context: CheckContext): Promise<void> {
  const type = context.topic("made");
  const events = Array.from({ length: 100 }, (_, n) =>
    context.event(
      type,
      { n, text: `event ${n}`, list: [n, [n]], nested: { deep: { n } } },
      {
        target: "reader",
        key: `key-${n % 5}`,
        priority: "normal",
        agentId: "agent-1",
        userId: "user-1",
        tenant: "tenant-1",
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        tracestate: "vendor=value",
        extensions: { number: n, flag: true, nothing: null, list: [1, "two"], object: { a: 1 } },
      },
    ),
  );
  const arrived = await roundTrip(context, events);
  assert.deepEqual(sortById(arrived), sortById(events));
}

async function payloadsArrive(context: CheckContext): Promise<void> {
  const type = context.topic("payload");
  const everyUnit = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code));
  const payloads: readonly unknown[] = [
    {},
    "",
    null,
    0,
    false,
    [],
    { empty: "", nothing: null, zero: 0, list: [], object: {} },
    { everyUnit, emoji: "🧭", high: "\ud800", low: "\udfff", separators: "\u2028\u2029" },
    JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1, "toString": "text"}'),
    { exact: 2 ** 53, negative: -(2 ** 53), large: 1e308, small: 5e-324, fraction: 0.1 + 0.2 },
    { minusZero: -0 },
  ];
  const events = payloads.map((payload) => context.event(type, payload));
  const arrived = await roundTrip(context, events);
  const texts = (list: readonly AgentEvent[]): string[] =>
    sortById(list).map((event) => JSON.stringify(event.payload));
  assert.deepEqual(texts(arrived), texts(events));
  const minusZero = arrived.find(({ id }) => id === events.at(-1)?.id)?.payload;
  assert.ok(Object.is((minusZero as { minusZero: number }).minusZero, 0), "-0 arrives as 0");
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
}

async function largestArrives(context: CheckContext): Promise<void> {
  const type = context.topic("large");
  const bytes = Math.min(context.capabilities.maxBytes, enoughBytes) - envelopeBytes;
  const envelope = utf8Bytes(JSON.stringify(context.event(type, { text: "" })));
  const event = context.event(type, { text: "x".repeat(bytes - envelope) });
  const [arrived] = await roundTrip(context, [event]);
  assert.deepEqual(arrived, event);
}

async function extensionsArrive(context: CheckContext): Promise<void> {
  const type = context.topic("extended");
  const extensions = {
    unicode: "grüße 你好 🧭",
    quotes: `"double" 'single' \`back\` \\ slash`,
    lines: "one\ntwo\r\nthree\ttab",
    long: "y".repeat(8_192),
    Case: "upper",
    case: "lower",
    CASE: "all",
  };
  const [arrived] = await roundTrip(context, [context.event(type, {}, { extensions })]);
  assert.deepEqual(arrived?.metadata.extensions, extensions);
}

async function topicsAreApart(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const short = context.topic("order");
  const long = context.topic("orders");
  const ofShort = await Member.open(context, transport, specOf(context, short));
  const ofLong = await Member.open(context, transport, specOf(context, long));
  const deeper = context.event(`${short}.item`);
  const shortEvents = numbered(context, short, 10);
  const longEvents = numbered(context, long, 10);
  await context.publish(transport, [deeper, ...shortEvents, ...longEvents]);
  assert.deepEqual(new Set(idsOf(await ofShort.handle(10))), new Set(idsOf(shortEvents)));
  assert.deepEqual(new Set(idsOf(await ofLong.handle(10))), new Set(idsOf(longEvents)));
  await ofShort.expectNothing();
  await ofLong.expectNothing();
}

async function nobodyListens(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("unheard");
  for (let round = 0; round < 20; round += 1) {
    const results = await context.publish(transport, numbered(context, type, 50));
    if (!context.capabilities.reportsUnroutable) continue;
    assert.ok(results.every((result) => result.unroutable === true));
  }
}

async function survivesRestart(context: CheckContext): Promise<void> {
  const before = await context.createTransport();
  const type = context.topic("kept");
  const spec = specOf(context, type);
  await (await Member.open(context, before, spec)).intake.close();
  const events = numbered(context, type, 20);
  await context.publish(before, events);
  await context.controls.restart?.();
  const member = await Member.open(context, await context.createTransport(), spec);
  assert.deepEqual(new Set(idsOf(await member.handle(20))), new Set(idsOf(events)));
}

async function batchesAnswerByItem(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("batch");
  const member = await Member.open(context, transport, specOf(context, type));
  const events = numbered(context, type, 50, () => ({ key: "one" }));
  const bad = context.event(type, { bad: true });
  const poisoned = { event: bad, to: { group: context.group("unknown") } };
  const results = await transport.publish([
    ...events.slice(0, 25).map((event) => ({ event })),
    poisoned,
    ...events.slice(25).map((event) => ({ event })),
  ]);
  assert.equal(results.length, 51);
  assert.deepEqual(
    results.flatMap((result, index) => (result.ok ? [] : [index])),
    [25],
  );
  const arrived = await member.handle(50);
  assert.deepEqual(new Set(idsOf(arrived)), new Set(idsOf(events)));
  if (context.capabilities.order !== "none") assert.deepEqual(idsOf(arrived), idsOf(events));
  await member.expectNothing();
}

async function orderStopsAtRefused(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const { maxBytes, order } = context.capabilities;
  const type = context.topic("in-order");
  const isSmall = maxBytes <= mostBytes;
  // Where no event is too large, the group has no room for it.
  const full = { maxQueued: 10, overflow: "reject" } as const;
  const member = await Member.open(context, transport, specOf(context, type, isSmall ? {} : full));
  const key = "one";
  const before = numbered(context, type, 10, () => ({ key }));
  // In the metadata: a payload may lie elsewhere, by reference.
  const padding = isSmall ? "x".repeat(maxBytes) : "";
  const refused = context.event(type, {}, { key, extensions: { padding } });
  const after = numbered(context, type, 10, () => ({ key }));
  const results = await publishInOrder(transport, [...before, refused, ...after]);
  assert.deepEqual(
    results.map((result) => result?.ok),
    [...before.map(() => true), false, ...after.map(() => undefined)],
  );
  const compare = (arrived: readonly AgentEvent[], events: readonly AgentEvent[]): void => {
    if (order === "none") assert.deepEqual(new Set(idsOf(arrived)), new Set(idsOf(events)));
    else assert.deepEqual(idsOf(arrived), idsOf(events));
  };
  compare(await member.handle(10), before);
  const rest = await publishInOrder(transport, after);
  assert.ok(rest.every((result) => result?.ok));
  compare(await member.handle(10), after);
  await member.expectNothing();
}

async function closedRefuses(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("late");
  await transport.close();
  await transport.close();
  const isClosed = (error: unknown): boolean => isCadreError(error, "CLOSED");
  try {
    const results = await transport.publish([{ event: context.event(type) }]);
    assert.ok(results.every((result) => !result.ok && isClosed(result.error)));
  } catch (error) {
    assert.ok(isClosed(error), `publish after close failed with ${String(error)}`);
  }
  await assert.rejects(async () => transport.open(specOf(context, type)), isClosed);
}

async function sameIdTwice(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("twice");
  const member = await Member.open(context, transport, specOf(context, type));
  const event = context.event(type, { n: 1 });
  await context.publish(transport, [event]);
  await context.publish(transport, [event]);
  const copies = context.capabilities.publisherDedupeMs > 0 ? 1 : 2;
  const arrived = await member.take(copies);
  assert.ok(arrived.every((lease) => eventOf(lease).id === event.id));
  await member.expectNothing();
}

export const basicChecks: readonly ConformanceCheck[] = [
  {
    id: "T-1",
    name: "events arrive with every field and extension as published",
    level: "port",
    run: arriveEqual,
  },
  {
    id: "T-2",
    name: "every JSON payload arrives as it was published",
    level: "port",
    run: payloadsArrive,
  },
  {
    id: "T-2b",
    name: "an event of nearly the largest size arrives",
    level: "port",
    run: largestArrives,
  },
  {
    id: "T-3",
    name: "extensions keep unicode, quotes, line ends, length and case",
    level: "port",
    run: extensionsArrive,
  },
  {
    id: "T-4",
    name: "a topic does not leak into one that it is a prefix of",
    level: "port",
    run: topicsAreApart,
  },
  {
    id: "T-5",
    name: "publishing where nobody listens succeeds, and says so where that is declared",
    level: "port",
    run: nobodyListens,
  },
  {
    id: "T-6",
    name: "an event whose publish has resolved survives a restart of the carrier",
    level: "port",
    needs: ({ durable }, { restart }) => {
      if (durable === "no") return "the carrier declares no durability";
      return restart ? undefined : "the caller gave no way to restart the carrier";
    },
    run: survivesRestart,
  },
  {
    id: "T-7",
    name: "a batch has one result an item, keeps its order, and a bad item fails alone",
    level: "port",
    run: batchesAnswerByItem,
  },
  {
    id: "T-8",
    name: "in order, those behind a refused event of their key are not tried, and can follow",
    level: "port",
    run: orderStopsAtRefused,
  },
  {
    id: "T-9",
    name: "after close, publish and open are refused with CLOSED",
    level: "port",
    run: closedRefuses,
  },
  {
    id: "T-10",
    name: "an id published twice comes once within the declared window, else twice",
    level: "port",
    run: sameIdTwice,
  },
];
