import assert from "node:assert/strict";
import { test } from "node:test";
import { createBus } from "#src/bus/create-bus.ts";
import { memory } from "#src/bus/memory-transport.ts";
import { VirtualClock } from "#src/core/clock.ts";
import { SeededRandom } from "#src/core/random.ts";
import { isCadreError, TerminalError } from "#src/core/errors.ts";
import { limited, setUp as setUpWith } from "./set-up.ts";

function setUp() {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const bus = createBus({ transport: memory({ clock }), clock, random });
  return { clock, bus };
}

test("every broadcast subscriber sees a published event once", async () => {
  const { bus } = setUp();
  const seen: string[] = [];
  await bus.subscribe("task.*", (event) => void seen.push(`a ${event.type}`));
  await bus.subscribe("#", (event) => void seen.push(`b ${event.type}`));
  await bus.publish("task.created", { taskId: "1" });
  await bus.idle();
  assert.deepEqual(seen.sort(), ["a task.created", "b task.created"]);
  await bus.close();
});

test("a group retries a failed event and then makes it a dead letter", async () => {
  const { bus, clock } = setUp();
  const attempts: number[] = [];
  const retry = { maxAttempts: 3 };
  await bus.subscribe("task.*", { group: "workers", retry }, (_event, delivery) => {
    attempts.push(delivery.attempt);
    throw new Error("no");
  });
  const event = await bus.publish("task.created", { taskId: "1" });
  await clock.advance(10_000);
  assert.deepEqual(attempts, [1, 2, 3]);
  const letter = await bus.deadLetters.get(`workers/${event.id}`);
  assert.equal(letter?.reason, "attempts");
  assert.equal(letter?.attempts, 3);
  await bus.close();
});

test("a terminal error makes a dead letter at once", async () => {
  const { bus, clock } = setUp();
  await bus.subscribe("task.*", { group: "workers" }, () => {
    throw new TerminalError("never");
  });
  const event = await bus.publish("task.created", { taskId: "1" });
  await clock.settle();
  assert.equal((await bus.deadLetters.get(`workers/${event.id}`))?.reason, "terminal");
  await bus.close();
});

test("a request gets its reply", async () => {
  const { bus } = setUp();
  await bus.respond("sum.*", { group: "adders" }, (event) => {
    const { a, b } = event.payload as { a: number; b: number };
    return { sum: a + b };
  });
  const reply = await bus.request("sum.two", { a: 1, b: 2 });
  assert.deepEqual(reply.payload, { sum: 3 });
  await bus.close();
});

test("health tells what a transport's own health threw, and never throws itself", async (t) => {
  const failures: (() => Promise<{ ok: boolean }>)[] = [
    () => Promise.reject(new Error("no answer")),
    () => Promise.reject({ odd: true }),
    () => {
      throw new Error("at once");
    },
  ];
  const details: (string | undefined)[] = [];
  for (const health of failures) {
    const { bus } = setUpWith(t, { wrap: (inner) => limited(inner, {}, { health }) });
    const { ok, detail } = await bus.health();
    assert.equal(ok, false);
    details.push(detail);
  }
  assert.deepEqual([details[0], details[2]], ["no answer", "at once"]);
  assert.ok(details[1], "what is no error is described, too");
});

test("health of a transport that has none is good while the bus is open", async (t) => {
  const { bus } = setUpWith(t, { wrap: (inner) => limited(inner, {}) });
  assert.deepEqual(await bus.health(), { ok: true });
});

test("groups are listed with what they have open, and a deleted one is forgotten", async (t) => {
  const { bus } = setUpWith(t);
  await bus.declareGroup("note.*", { group: "writers" });
  await bus.declareGroup("#", { group: "all", ordered: "block" });
  for (let n = 0; n < 3; n += 1) await bus.publish("note.taken", { n });
  const [all, writers] = await bus.groups();
  assert.deepEqual([all!.name, all!.open, writers!.name, writers!.open], ["all", 3, "writers", 3]);
  assert.match(all!.definition, /ordered: block$/);
  await bus.deleteGroup("all");
  await bus.deleteGroup("nobody");
  assert.deepEqual(
    (await bus.groups()).map(({ name }) => name),
    ["writers"],
  );
  await bus.declareGroup("other.*", { group: "all" });
});

test("groups of a transport that cannot list or delete them are refused, as they are after close", async (t) => {
  const { bus } = setUpWith(t, { wrap: (inner) => limited(inner, {}) });
  const unsupported = (error: unknown): boolean => isCadreError(error, "UNSUPPORTED");
  await assert.rejects(bus.groups(), unsupported);
  await assert.rejects(bus.deleteGroup("any"), unsupported);
  await bus.close();
  await assert.rejects(bus.groups(), (error) => isCadreError(error, "CLOSED"));
  await assert.rejects(bus.deleteGroup("any"), (error) => isCadreError(error, "CLOSED"));
});
