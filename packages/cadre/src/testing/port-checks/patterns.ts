import assert from "node:assert/strict";
import { compilePattern } from "../../core/pattern.ts";
import { isTopic } from "../../core/topic.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { patternVectors } from "../vectors/patterns.ts";
import { eventOf, idsOf, Member, numbered, specOf } from "./member.ts";

async function tableHolds(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  // The prefix lengthens topics and patterns: a few at the limits cannot take it.
  const usable = patternVectors.filter(
    ({ pattern, topic }) => isTopic(context.topic(topic)) && fits(context.topic(pattern)),
  );
  assert.ok(usable.length >= 60, `${usable.length} rows of the table can be used`);
  const patterns = [...new Set(usable.map(({ pattern }) => pattern))];
  const topics = [...new Set(usable.map(({ topic }) => topic))];
  const members: Member[] = [];
  for (const [index, pattern] of patterns.entries()) {
    const mode = index % 2 === 0 ? "group" : "broadcast";
    const spec = specOf(context, context.topic(pattern), { mode });
    members.push(await Member.open(context, transport, spec));
  }
  const events = topics.map((topic) => context.event(context.topic(topic)));
  await context.publish(transport, events);
  for (const [index, pattern] of patterns.entries()) {
    const matches = compilePattern(context.topic(pattern));
    const expected = events.filter(({ type }) => matches(type));
    for (const row of usable.filter((vector) => vector.pattern === pattern)) {
      assert.equal(matches(context.topic(row.topic)), row.matches, `${pattern} and ${row.topic}`);
    }
    const arrived = await members[index]!.handle(expected.length);
    assert.deepEqual(idsOf(arrived).toSorted(), idsOf(expected).toSorted(), pattern);
  }
  await Promise.all(members.map((member) => member.expectNothing(20)));
}

function fits(pattern: string): boolean {
  try {
    compilePattern(pattern);
    return true;
  } catch {
    return false;
  }
}

async function newTopicIsSeen(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const member = await Member.open(context, transport, specOf(context, context.topic("#")));
  const first = context.event(context.topic("known"));
  await context.publish(transport, [first]);
  await member.handle(1);
  const publisher = await context.createTransport();
  const fresh = context.event(context.topic("first", "used", "now"));
  await context.publish(publisher, [fresh]);
  assert.deepEqual(idsOf(await member.handle(1)), [fresh.id]);
}

async function overlapsComeOnce(context: CheckContext): Promise<void> {
  const transport = await context.createTransport();
  const type = context.topic("task", "created");
  const patterns = [
    type,
    context.topic("task", "*"),
    context.topic("#"),
    context.topic("*.created"),
  ];
  for (const mode of ["group", "broadcast"] as const) {
    const together = await Member.open(context, transport, specOf(context, patterns, { mode }));
    const apart = await Promise.all(
      patterns.map((pattern) =>
        Member.open(context, transport, specOf(context, pattern, { mode })),
      ),
    );
    const events = numbered(context, type, 5);
    await context.publish(transport, events);
    for (const member of [together, ...apart]) {
      const leases = await member.take(5);
      assert.deepEqual(new Set(idsOf(leases.map(eventOf))), new Set(idsOf(events)));
      await member.expectNothing(10);
    }
  }
}

export const patternChecks: readonly ConformanceCheck[] = [
  {
    id: "T-20",
    name: "the table of patterns and topics holds through the carrier",
    level: "port",
    run: tableHolds,
  },
  {
    id: "T-21",
    name: "a pattern sees a topic that is first used after subscribing",
    level: "port",
    run: newTopicIsSeen,
  },
  {
    id: "T-22",
    name: "overlapping patterns of one subscription deliver once, of several once each",
    level: "port",
    run: overlapsComeOnce,
  },
];
