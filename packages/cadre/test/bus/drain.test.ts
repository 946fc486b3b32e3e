import assert from "node:assert/strict";
import { test } from "node:test";
import type { Bus } from "#src/bus/bus.ts";
import { createBus } from "#src/bus/create-bus.ts";
import { memory, memoryCarrier } from "#src/bus/memory-transport.ts";
import { VirtualClock } from "#src/core/clock.ts";
import { isCadreError } from "#src/core/errors.ts";
import { limited } from "./set-up.ts";

test("draining says what finished, what was aborted and what went back", async () => {
  const clock = new VirtualClock();
  const bus = createBus({ transport: memory({ clock }), clock });
  await bus.subscribe("quick", { group: "q" }, () => clock.sleep(50));
  await bus.subscribe("stuck", { group: "s", timeoutMs: 0 }, () => new Promise(() => {}));
  await bus.publish("quick", {});
  await bus.publish("stuck", {});
  await clock.settle();
  const draining = bus.drain({ deadlineMs: 1_000 });
  await clock.advance(1_000);
  const report = await draining;
  assert.deepEqual(report, {
    finished: 1,
    aborted: 1,
    released: 0,
    failedRequests: 0,
    clean: false,
    elapsedMs: 1_000,
  });
  assert.equal(await bus.drain(), report);
  await bus.close();
  assert.equal(clock.pending, 0, "no timer is left");
});

test("a handler that waits for an answer gets it while the bus drains", async () => {
  const clock = new VirtualClock();
  const carrier = memoryCarrier({ clock });
  const [asker, responder] = [carrier.connect(), carrier.connect()].map((transport) =>
    createBus({ transport, clock }),
  );
  await responder!.respond("ask", { group: "r" }, async () => {
    await clock.sleep(100);
    return { ok: true };
  });
  let answer: unknown;
  await asker!.subscribe("job", { group: "g" }, async () => {
    answer = (await asker!.request("ask", {})).payload;
  });
  await asker!.publish("job", {});
  await clock.settle();
  const closing = asker!.close();
  await clock.advance(200);
  assert.equal((await closing).clean, true);
  assert.deepEqual(answer, { ok: true });
  await responder!.close();
});

test("a transport that hangs does not keep the bus from reporting", async () => {
  const clock = new VirtualClock();
  const transport = memory({ clock });
  const hanging = limited(
    transport,
    {},
    {
      open: async (spec) => {
        const intake = await transport.open(spec);
        return {
          pull: (max, signal) => intake.pull(max, signal),
          close: () => new Promise(() => {}),
        };
      },
    },
  );
  const bus = createBus({ transport: hanging, clock });
  await bus.subscribe("job", { group: "g" }, () => {});
  const draining = bus.drain({ deadlineMs: 1_000 });
  await clock.advance(3_000);
  const report = await draining;
  assert.deepEqual([report.clean, report.aborted], [false, 1]);
});

test("a bus that is disposed of is closed", async () => {
  const clock = new VirtualClock();
  let kept: Bus | undefined;
  {
    await using bus = createBus({ transport: memory({ clock }), clock });
    kept = bus;
    await bus.publish("job", {});
  }
  await assert.rejects(kept.publish("job", {}), (error) => isCadreError(error, "CLOSED"));
});

for (const [option, options] of [
  ["transport", {}],
  ["sources", { sources: "x" }],
  ["dedupWindow", { dedupWindow: 0 }],
  ["source", { source: "" }],
] as const) {
  test(`createBus with a wrong "${option}" is refused`, () => {
    const all = option === "transport" ? options : { transport: memory(), ...options };
    assert.throws(
      () => createBus(all as unknown as Parameters<typeof createBus>[0]), // wrong on purpose
      (error) => isCadreError(error, "INVALID_OPTION") && error.details.option === option,
    );
  });
}
