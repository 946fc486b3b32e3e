import assert from "node:assert/strict";
import { isCadreError } from "../../core/errors.ts";
import { compilePattern } from "../../core/pattern.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { filterVectors } from "../vectors/filters.ts";
import { patternVectors } from "../vectors/patterns.ts";

async function everyBroadcastHearsAll(context: CheckContext): Promise<void> {
  const type = context.topic("all");
  const seen: string[][] = [[], [], []];
  for (const ids of seen) {
    const bus = await context.createBus();
    await bus.subscribe(type, (event) => void ids.push(event.id));
  }
  const publisher = await context.createBus();
  const ids: string[] = [];
  for (let at = 0; at < 20; at += 1) ids.push((await publisher.publish(type, { at })).id);
  await context.until(() => seen.every((each) => each.length >= 20));
  for (const each of seen) assert.deepEqual(each, ids);
}

async function groupsHaveOneDefinition(context: CheckContext): Promise<void> {
  const [type, group] = [context.topic("defined"), context.group()];
  const [first, second] = [await context.createBus(), await context.createBus()];
  const options = { group, also: [context.topic("other")], filter: { "payload.a": 1 } };
  await first.subscribe(type, options, () => {});
  // Another spelling of the same definition is welcome.
  const same = { group, also: [type], filter: { "payload.a": { $eq: 1 } } };
  await second.subscribe(context.topic("other"), same, () => {});
  await assert.rejects(
    second.subscribe(type, { group }, () => {}),
    (error) => isCadreError(error, "GROUP_MISMATCH"),
  );
}

async function membersShare(context: CheckContext): Promise<void> {
  const [type, group] = [context.topic("shared"), context.group()];
  const seen: string[] = [];
  for (let member = 0; member < 3; member += 1) {
    const bus = await context.createBus();
    await bus.subscribe(type, { group }, (event) => void seen.push(event.id));
  }
  const publisher = await context.createBus();
  const ids: string[] = [];
  for (let at = 0; at < 60; at += 1) ids.push((await publisher.publish(type, { at })).id);
  await context.until(() => seen.length >= 60);
  assert.deepEqual(seen.toSorted(), ids.toSorted());
}

async function groupsAreIndependent(context: CheckContext): Promise<void> {
  const type = context.topic("two");
  const bus = await context.createBus();
  const seen: string[] = [];
  const stopped = await bus.subscribe(type, { group: context.group("stopped") }, () => {});
  await bus.subscribe(type, { group: context.group() }, (event) => void seen.push(event.id));
  await stopped.close();
  for (let at = 0; at < 10; at += 1) await bus.publish(type, { at });
  await context.until(() => seen.length === 10);
}

async function groupComesBack(context: CheckContext): Promise<void> {
  const [type, group] = [context.topic("back"), context.group()];
  const publisher = await context.createBus();
  const seen: number[] = [];
  let published = 0;
  const publishFive = async (): Promise<void> => {
    for (let n = 0; n < 5; n += 1) await publisher.publish(type, { at: published++ });
  };
  for (let round = 0; round < 3; round += 1) {
    const consumer = await context.createBus();
    await consumer.subscribe(type, { group }, (event) => {
      seen.push((event.payload as { at: number }).at);
    });
    await publishFive();
    await context.until(() => seen.length === published);
    await consumer.close();
    if (round < 2) await publishFive(); // nobody is there: it is for the next one
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 25 }, (_, at) => at),
  );
}

async function closingEndsOne(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const type = context.topic("closed");
  const seen = { open: 0, group: 0, closed: 0, closedGroup: 0 };
  await bus.subscribe(type, () => void (seen.open += 1));
  await bus.subscribe(type, { group: context.group() }, () => void (seen.group += 1));
  const gone = [
    await bus.subscribe(type, () => void (seen.closed += 1)),
    await bus.subscribe(type, { group: context.group() }, () => void (seen.closedGroup += 1)),
  ];
  await bus.publish(type, {});
  await context.until(() => Object.values(seen).every((count) => count === 1));
  for (const subscription of gone) await subscription.close();
  await bus.publish(type, {});
  await context.until(() => seen.open === 2 && seen.group === 2);
  await context.quiet(20);
  assert.deepEqual(seen, { open: 2, group: 2, closed: 1, closedGroup: 1 });
}

async function newTopicsAreSeen(context: CheckContext): Promise<void> {
  const [bus, publisher] = [await context.createBus(), await context.createBus()];
  const seen: string[] = [];
  const pattern = context.topic("*");
  await bus.subscribe(pattern, (event) => void seen.push(`broadcast ${event.type}`));
  await bus.subscribe(pattern, { group: context.group() }, (event) => {
    seen.push(`group ${event.type}`);
  });
  const expected: string[] = [];
  for (const word of ["first", "second", "third"]) {
    const type = context.topic(word);
    await publisher.publish(type, {});
    expected.push(`broadcast ${type}`, `group ${type}`);
    await context.until(() => seen.length >= expected.length);
  }
  assert.deepEqual(seen.toSorted(), expected.toSorted());
}

async function patternsMatchExactly(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const prefix = context.topic();
  const patterns = [...new Set(patternVectors.map(({ pattern }) => pattern))];
  const topics = [...new Set(patternVectors.map(({ topic }) => topic))];
  const seen = new Set<string>();
  for (const pattern of patterns) {
    const whole = `${prefix}.${pattern}`;
    await bus.subscribe(whole, { maxQueued: 100_000 }, (event) => {
      seen.add(`${pattern} ${event.type.slice(prefix.length + 1)}`);
    });
  }
  const expected = new Set<string>();
  for (const topic of topics) {
    for (const pattern of patterns) {
      if (compilePattern(`${prefix}.${pattern}`)(`${prefix}.${topic}`)) {
        expected.add(`${pattern} ${topic}`);
      }
    }
    await bus.publish(`${prefix}.${topic}`, {});
  }
  await context.until(() => seen.size >= expected.size);
  await context.quiet(20);
  assert.deepEqual([...seen].toSorted(), [...expected].toSorted());
}

async function overlapDeliversOnce(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const type = context.topic("over", "lap");
  const also = [context.topic("over", "*"), context.topic("#")];
  const counts = { broadcast: 0, group: 0, other: 0 };
  await bus.subscribe(type, { also }, () => void (counts.broadcast += 1));
  await bus.subscribe(type, { also, group: context.group() }, () => void (counts.group += 1));
  await bus.subscribe(context.topic("#"), () => void (counts.other += 1));
  for (let at = 0; at < 5; at += 1) await bus.publish(type, { at });
  await context.until(() => counts.group >= 5 && counts.broadcast >= 5 && counts.other >= 5);
  await context.quiet(20);
  assert.deepEqual(counts, { broadcast: 5, group: 5, other: 5 });
}

async function filtersDecideExactly(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const seen = new Map<number, number[]>();
  const expected = new Map<number, number[]>();
  const usable = filterVectors.filter(({ payload }) => isPlain(payload)).slice(0, 150);
  const type = context.topic("filtered");
  for (const [at, { filter, payload, matches }] of usable.entries()) {
    const own = `${type}.n${at}`;
    seen.set(at, []);
    expected.set(at, matches ? [at] : []);
    await bus.subscribe(own, { filter }, () => void seen.get(at)!.push(at));
    await bus.publish(own, payload);
  }
  const total = [...expected.values()].flat().length;
  await context.until(() => [...seen.values()].flat().length >= total);
  await context.quiet(20);
  assert.deepEqual(seen, expected);
}

/** What a bus without a registry publishes. Some vectors are objects that JSON cannot carry. */
function isPlain(payload: unknown): boolean {
  if (typeof payload !== "object" || payload === null || Array.isArray(payload)) return false;
  return Object.getPrototypeOf(payload) === Object.prototype;
}

async function busFiltersHoldForAll(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const type = context.topic("tenant");
  const seen: unknown[] = [];
  await bus.subscribe(type, (event) => void seen.push(event.payload));
  await bus.subscribe(type, { group: context.group() }, (event) => void seen.push(event.payload));
  const end = bus.addFilter({ "payload.open": true });
  await bus.publish(type, { open: false });
  await bus.publish(type, { open: true });
  await context.until(() => seen.length === 2);
  end();
  await bus.publish(type, { open: false });
  await context.until(() => seen.length === 4);
  const opens = seen.map((payload) => (payload as { open: boolean }).open);
  assert.deepEqual(opens.slice(0, 2), [true, true]);
}

export const routingChecks: readonly ConformanceCheck[] = [
  {
    id: "T-13b",
    name: "every broadcast of every bus hears every event once, in order",
    level: "bus",
    run: everyBroadcastHearsAll,
  },
  {
    id: "T-14c",
    name: "a member with another definition is refused, whatever its spelling",
    level: "bus",
    run: groupsHaveOneDefinition,
  },
  {
    id: "T-14d",
    name: "the members of a group share its events, and no event is handled twice",
    level: "bus",
    run: membersShare,
  },
  {
    id: "T-15b",
    name: "a group whose only member has closed does not hold another group up",
    level: "bus",
    run: groupsAreIndependent,
  },
  {
    id: "T-16b",
    name: "a group goes on where it stopped when all its buses have gone and others come",
    level: "bus",
    run: groupComesBack,
  },
  {
    id: "T-18c",
    name: "closing a subscription ends its events and no other subscription's",
    level: "bus",
    run: closingEndsOne,
  },
  {
    id: "T-20b",
    name: "a bus hands over exactly what its patterns match",
    level: "bus",
    run: patternsMatchExactly,
  },
  {
    id: "T-21b",
    name: "a wildcard hears a type that is first used after subscribing",
    level: "bus",
    run: newTopicsAreSeen,
  },
  {
    id: "T-22b",
    name: "overlapping patterns deliver once to each subscription",
    level: "bus",
    run: overlapDeliversOnce,
  },
  {
    id: "T-23b",
    name: "a bus hands over exactly what its filters match",
    level: "bus",
    run: filtersDecideExactly,
  },
  {
    id: "T-23c",
    name: "a filter of the bus holds for its subscriptions until it is taken back",
    level: "bus",
    run: busFiltersHoldForAll,
  },
];
