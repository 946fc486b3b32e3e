import assert from "node:assert/strict";
import { test } from "node:test";
import { createBus } from "#src/bus/create-bus.ts";
import { memory } from "#src/bus/memory-transport.ts";
import { recordingBus } from "#src/testing/recording-bus.ts";

test("a recording has what was published, also from inside handlers", async () => {
  await using bus = createBus({ transport: memory() });
  const recording = recordingBus(bus);
  await bus.subscribe("task.created", (_event, delivery) =>
    delivery.publish("task.started", { taskId: "t1", by: { name: "reader", load: 2 } }),
  );
  await bus.publish("task.created", { taskId: "t1", title: "Read" });
  await bus.idle();
  assert.deepEqual(
    recording.published().map(({ type }) => type),
    ["task.created", "task.started"],
  );
  assert.equal(recording.published("*.started").length, 1);
  const started = recording.expectPublished("task.*", { by: { name: "reader" } });
  assert.equal(started.metadata.causationId, recording.expectPublished("task.created").id);
  recording.expectPublished("task.#", (event) => event.source === "cadre");
  recording.expectNotPublished("task.failed");
});

test("an expectation that fails lists what was published", async () => {
  await using bus = createBus({ transport: memory() });
  const recording = recordingBus(bus);
  assert.throws(() => recording.expectPublished("task.created"), /but: nothing$/);
  await bus.publish("task.created", { taskId: "t1", tags: ["a", "b"] });
  const misses: readonly object[] = [
    { taskId: "t2" },
    { tags: ["a"] },
    { other: 1 },
    { taskId: "t1", tags: ["b", "a"] },
  ];
  for (const miss of misses) {
    assert.throws(
      () => recording.expectPublished("task.*", { ...miss }),
      /No event of "task\.\*" with .* was published, but:\n {2}task\.created \{"taskId":"t1"/,
    );
  }
  assert.throws(
    () => recording.expectNotPublished("task.*", { tags: ["a", "b"] }),
    /An event of "task\.\*" with .* was published/,
  );
});

test("a refused publish is not recorded; clear forgets, stop ends", async () => {
  await using bus = createBus({ transport: memory() });
  const recording = recordingBus(bus);
  await assert.rejects(bus.publish("task.created", { run: () => {} }));
  assert.deepEqual(recording.published(), []);
  await bus.publish("task.created", { taskId: "t1" });
  recording.clear();
  assert.deepEqual(recording.published(), []);
  await bus.publish("task.created", { taskId: "t2" });
  recording.stop();
  await bus.publish("task.created", { taskId: "t3" });
  assert.deepEqual(
    recording.published().map(({ payload }) => payload),
    [{ taskId: "t2" }],
  );
});
