/** Filters by an index give what each filter by itself gives: the same events, order and counters. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { compileFilter, type FilterDocument } from "#src/core/filter.ts";
import { SeededRandom } from "#src/core/random.ts";
import type { Bus } from "#src/bus/bus.ts";
import type { Subscription } from "#src/bus/subscription.ts";
import { setUp } from "./set-up.ts";

const seed = Number(process.env["CADRE_SEED"] ?? 20_261_121);
const types = ["order.placed", "order.paid", "parcel.sent"];
const filters: readonly (FilterDocument | undefined)[] = [
  undefined,
  { "payload.agent": "a1" },
  { "payload.agent": "a2", "payload.size": { $gte: 5 } },
  { "payload.kind": { $in: ["k1", "k2"] } },
  { "payload.tags": "a1" },
  { "payload.size": { $gt: 7 } },
  { $or: [{ "payload.agent": "a3" }, { "payload.kind": "k3" }] },
];
const patterns: readonly (readonly [string, ...string[]])[] = [
  ["order.placed"],
  ["order.*"],
  ["#"],
  ["order.placed", "#"],
  ["parcel.*", "order.paid"],
];

interface Model {
  readonly subscription: Subscription;
  readonly patterns: readonly string[];
  readonly filter: FilterDocument | undefined;
  readonly expected: number[];
  readonly seen: number[];
  shown: number;
}

function fits(pattern: string, type: string): boolean {
  return pattern === "#" || pattern === type || pattern === `${type.split(".")[0]}.*`;
}

async function add(bus: Bus, models: Model[], random: SeededRandom, log: string[]): Promise<void> {
  const [pattern, ...also] = patterns[random.integer(patterns.length)]!;
  const filter = filters[random.integer(filters.length)];
  const seen: number[] = [];
  const name = `s${models.length}`;
  const options = { also, name, ...(filter && { filter }) };
  const subscription = await bus.subscribe(pattern, options, (event) => {
    const { n } = event.payload as { n: number };
    seen.push(n);
    log.push(`${n} ${name}`);
  });
  models.push({ subscription, patterns: [pattern, ...also], filter, expected: [], seen, shown: 0 });
}

function payloadOf(n: number, random: SeededRandom): Record<string, unknown> {
  return {
    n,
    agent: `a${random.integer(5)}`,
    kind: `k${random.integer(5)}`,
    size: random.integer(10),
    tags: ["a1", "a1", `a${random.integer(3)}`].slice(random.integer(3)),
  };
}

test(`subscriptions that come and go get what their filters let through, and count the rest (seed ${seed})`, async (t: TestContext) => {
  const random = new SeededRandom(seed);
  const { bus, clock } = setUp(t);
  const [models, log, order]: [Model[], string[], string[]] = [[], [], []];
  const gone = new Set<Model>();
  let endBusFilter: (() => void) | undefined;
  for (let n = 0; n < 400; n += 1) {
    if (random.integer(6) === 0) await add(bus, models, random, log);
    const some = models[random.integer(models.length || 1)];
    if (some && random.integer(12) === 0 && !gone.has(some)) {
      await some.subscription.close();
      gone.add(some);
    }
    if (random.integer(40) === 0) {
      endBusFilter?.();
      endBusFilter = endBusFilter ? undefined : bus.addFilter({ "payload.size": { $lt: 6 } });
    }
    const type = types[random.integer(types.length)]!;
    const event = await bus.publish(type, payloadOf(n, random));
    const passes = !endBusFilter || (event.payload as { size: number }).size < 6;
    for (const model of models) {
      if (gone.has(model) || !model.patterns.some((pattern) => fits(pattern, type))) continue;
      model.shown += 1;
      if (!passes || (model.filter && !compileFilter(model.filter).matches(event))) continue;
      model.expected.push(n);
      order.push(`${n} ${model.subscription.name}`);
    }
    await clock.settle();
  }
  assert.ok(models.length > 40 && gone.size > 10 && log.length > 500, "enough has happened");
  assert.deepEqual(log.toSorted(), order.toSorted());
  for (const { subscription, patterns: of, filter, seen, expected, shown } of models) {
    const what = `${of.join()} ${JSON.stringify(filter)}`;
    assert.deepEqual(seen, expected, what);
    const { handled, filtered, dropped, failed } = subscription.stats();
    assert.deepEqual(
      [handled, filtered, dropped, failed],
      [seen.length, shown - seen.length, 0, 0],
      what,
    );
  }
});

for (const count of [4, 40]) {
  test(`${count} subscriptions of one pattern get an event in the order in which they came`, async (t) => {
    const { bus, clock } = setUp(t);
    const log: number[] = [];
    for (let n = 0; n < count; n += 1) {
      const filter = n % 3 === 0 ? {} : { filter: { "payload.odd": n % 2 === 1 } };
      await bus.subscribe("note", filter, () => void log.push(n));
    }
    await bus.publish("note", { odd: true });
    await clock.settle();
    const all = Array.from({ length: count }, (_, n) => n);
    assert.deepEqual(
      log,
      all.filter((n) => n % 3 === 0 || n % 2 === 1),
    );
  });
}

test("a handler that subscribes and closes others while an event is shown disturbs nobody", async (t) => {
  const { bus, clock } = setUp(t);
  const log: string[] = [];
  const filter = { "payload.for": "all" };
  let added = 0;
  for (let n = 0; n < 10; n += 1)
    await bus.subscribe("note", { filter: { "payload.n": n } }, () => {});
  const first = await bus.subscribe("note", { filter, name: "first" }, async () => {
    log.push("first");
    void last.close();
    if (added++ > 0) return;
    await bus.subscribe("note", { filter, name: "late" }, () => void log.push("late"));
  });
  await bus.subscribe("note", { filter, name: "middle" }, () => void log.push("middle"));
  const last: Subscription = await bus.subscribe("note", { filter, name: "last" }, () => {
    log.push("last");
  });
  await bus.publish("note", { for: "all" });
  await clock.settle();
  assert.deepEqual(log, ["first", "middle"]);
  await bus.publish("note", { for: "all" });
  await bus.publish("note", { for: "none" });
  await clock.settle();
  assert.deepEqual(log.slice(2), ["first", "middle", "late"]);
  assert.equal(first.stats().filtered, 1);
  assert.equal(last.stats().filtered, 0);
});

test("what filters keep away is not unroutable, and filters that have gone hold up nobody", async (t) => {
  const { bus, clock } = setUp(t);
  const filter = { "payload.n": 1 };
  const others = [];
  for (let n = 0; n < 10; n += 1) others.push(await bus.subscribe("note", { filter }, () => {}));
  const one = await bus.subscribe("note", { filter }, () => {});
  await bus.publish("note", { n: 2 });
  await clock.settle();
  assert.deepEqual([bus.stats().unroutable, one.stats().filtered], [0, 1]);
  for (const other of others) await other.close();
  await one.close();
  await one.close();
  await bus.publish("note", { n: 2 });
  assert.deepEqual([bus.stats().unroutable, one.stats().filtered], [1, 1]);
  let seen = 0;
  await bus.subscribe("note", () => void (seen += 1));
  await bus.publish("note", { n: 2 });
  await clock.settle();
  assert.equal(seen, 1);
});
