import assert from "node:assert/strict";
import { test } from "node:test";
import { createBus } from "#src/bus/create-bus.ts";
import { memory } from "#src/bus/memory-transport.ts";
import { VirtualClock } from "#src/core/clock.ts";
import { SeededRandom } from "#src/core/random.ts";
import { TerminalError } from "#src/core/errors.ts";

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
