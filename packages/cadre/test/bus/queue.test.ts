import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Queue } from "#src/bus/queue.ts";
import { TimerHeap, type Timed } from "#src/bus/memory-timers.ts";
import { VirtualClock } from "#src/core/clock.ts";

const seed =
  process.env["CADRE_SEED"] === undefined ? {} : { seed: Number(process.env["CADRE_SEED"]) };

test("a queue does what an array does", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("push" as const), item: fc.nat(99) }),
    fc.record({ kind: fc.constant("unshift" as const), item: fc.nat(99) }),
    fc.record({ kind: fc.constant("insert" as const), item: fc.nat(99) }),
    fc.record({ kind: fc.constant("shift" as const), item: fc.constant(0) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new Queue<number>();
      const model: number[] = [];
      for (const { kind, item } of steps) {
        if (kind === "push") model.push(item);
        else if (kind === "unshift") model.unshift(item);
        else if (kind === "insert") {
          const at = model.findIndex((other) => other > item);
          model.splice(at === -1 ? model.length : at, 0, item);
        }
        if (kind === "shift") assert.equal(queue.shift(), model.shift());
        else if (kind === "insert") queue.insertBefore(item, (other) => other > item);
        else queue[kind](item);
        assert.deepEqual(
          Array.from({ length: queue.size }, (_, index) => queue.at(index)),
          model,
        );
        assert.equal(queue.peek(), model[0]);
      }
    }),
    seed,
  );
});

test("a queue gives back the memory of a burst and keeps its items", () => {
  const queue = new Queue<number>();
  for (let n = 0; n < 100_000; n += 1) queue.push(n);
  for (let n = 0; n < 99_990; n += 1) assert.equal(queue.shift(), n);
  assert.deepEqual(
    Array.from({ length: queue.size }, () => queue.shift()),
    [99_990, 99_991, 99_992, 99_993, 99_994, 99_995, 99_996, 99_997, 99_998, 99_999],
  );
  assert.equal(queue.shift(), undefined);
});

interface Alarm extends Timed {
  readonly name: number;
}

test("a timer heap fires what is due in order, whatever was moved or removed", async () => {
  const plan = fc.array(
    fc.record({
      dueAt: fc.nat(50),
      change: fc.constantFrom("keep", "keep", "remove", "move"),
      movedTo: fc.nat(50),
    }),
    { maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(plan, async (steps) => {
      const clock = new VirtualClock();
      const fired: number[] = [];
      const heap = new TimerHeap<Alarm>(clock, { background: false }, (alarm) => {
        assert.equal(clock.monotonic(), alarm.dueAt);
        fired.push(alarm.dueAt);
      });
      const expected: number[] = [];
      const alarms = steps.map((_, name): Alarm => ({ name, dueAt: 0, heapIndex: -1 }));
      for (const [index, step] of steps.entries()) heap.add(alarms[index]!, step.dueAt);
      for (const [index, step] of steps.entries()) {
        if (step.change === "remove") heap.remove(alarms[index]!);
        else if (step.change === "move") heap.move(alarms[index]!, step.movedTo);
        if (step.change === "keep") expected.push(step.dueAt);
        if (step.change === "move") expected.push(step.movedTo);
      }
      assert.ok(clock.pending <= 1);
      await clock.advance(60);
      assert.deepEqual(
        fired,
        expected.toSorted((left, right) => left - right),
      );
      assert.equal(clock.pending, 0);
    }),
    { numRuns: 30, ...seed },
  );
});
