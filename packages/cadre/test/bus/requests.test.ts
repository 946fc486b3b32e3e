import assert from "node:assert/strict";
import { test } from "node:test";
import { isCadreError, RetryableError } from "#src/core/errors.ts";
import { SeededRandom } from "#src/core/random.ts";
import { createBus } from "#src/bus/create-bus.ts";
import { limited, setUp } from "./set-up.ts";

test("a thousand requests at once share one timer", async (context) => {
  const { bus, clock } = setUp(context);
  await bus.declareGroup("ask", { group: "g" });
  const before = clock.pending;
  const asked = Array.from({ length: 1_000 }, () => bus.request("ask", {}, { timeoutMs: 1_000 }));
  const outcomes = Promise.allSettled(asked);
  await clock.settle();
  assert.equal(bus.stats().pendingRequests, 1_000);
  assert.equal(clock.pending - before, 1);
  await clock.advance(1_000);
  const codes = (await outcomes).map((each) => each.status === "rejected" && each.reason.code);
  assert.ok(codes.every((code) => code === "TIMEOUT"));
  assert.equal(bus.stats().pendingRequests, 0);
});

test("a RetryableError of a responder is retried, not answered", async (context) => {
  const { bus, clock } = setUp(context);
  const attempts: number[] = [];
  const retry = { minDelayMs: 1, jitter: 0 };
  await bus.respond("ask", { group: "g", retry }, (_event, { attempt }) => {
    attempts.push(attempt);
    if (attempt < 3) throw new RetryableError("busy");
    return { done: true };
  });
  const asked = bus.request("ask", {});
  await clock.advance(100);
  assert.deepEqual((await asked).payload, { done: true });
  assert.deepEqual(attempts, [1, 2, 3]);
});

test("a reply may be any JSON value, and nothing is null", async (context) => {
  const { bus } = setUp(context);
  const answers = [[1, 2], "text", 7, null, undefined, false];
  await bus.respond("ask", {}, (event) => answers[(event.payload as { at: number }).at]);
  const replies: unknown[] = [];
  for (let at = 0; at < answers.length; at += 1) {
    replies.push((await bus.request("ask", { at })).payload);
  }
  assert.deepEqual(replies, [[1, 2], "text", 7, null, null, false]);
});

test("a responder that answers with what JSON cannot carry fails the request", async (context) => {
  const { bus } = setUp(context);
  await bus.respond("ask", { group: "g" }, () => ({ f: () => 1 }));
  await assert.rejects(
    bus.request("ask", {}),
    (error) => isCadreError(error, "REQUEST_FAILED") && error.details.code === "NOT_JSON",
  );
});

test("a signal that is aborted already refuses the request", async (context) => {
  const { bus } = setUp(context);
  const asked = bus.request("ask", {}, { signal: AbortSignal.abort(new Error("gone")) });
  await assert.rejects(asked, /gone/);
  assert.equal(bus.stats().published, 0);
});

test("the reply belongs to the flow of its request", async (context) => {
  const { bus } = setUp(context);
  await bus.respond("ask", { group: "g" }, () => ({}));
  const cause = await bus.publish("begin", {});
  const reply = await bus.request("ask", {}, { cause });
  assert.equal(reply.metadata.correlationId, cause.id);
});

test("gathering waits for its time when it has no number", async (context) => {
  const { bus, clock } = setUp(context);
  for (const name of ["a", "b"]) await bus.respond("ask", { group: name }, () => ({ name }));
  let replies: readonly unknown[] | undefined;
  const gathered = bus.gather("ask", {}, { timeoutMs: 500 }).then((all) => {
    replies = all.map(({ payload }) => payload);
  });
  await clock.advance(499);
  assert.equal(replies, undefined);
  await clock.advance(1);
  await gathered;
  assert.deepEqual(replies, [{ name: "a" }, { name: "b" }]);
});

test("an impossible timeout is refused", async (context) => {
  const { bus } = setUp(context);
  await assert.rejects(bus.request("ask", {}, { timeoutMs: 0 }), (error) =>
    isCadreError(error, "INVALID_OPTION"),
  );
});

test("a responder may come without options, and nothing in its place is refused", async (context) => {
  const { bus } = setUp(context);
  await bus.respond("ask", (event) => ({ echo: event.payload }));
  assert.deepEqual((await bus.request("ask", { a: 1 })).payload, { echo: { a: 1 } });
  const refused = bus.respond("ask", {} as never);
  await assert.rejects(refused, /respond needs a handler, as its last argument/);
});

test("the time of a request begins when replies can be heard", async (context) => {
  const { bus, clock, transport } = setUp(context);
  await bus.respond("ask", { group: "g" }, () => ({ here: true }));
  const openingMs = 3_000;
  const slow = limited(
    transport,
    {},
    {
      open: async (spec) => {
        const intake = await transport.open(spec);
        await clock.sleep(openingMs);
        return intake;
      },
      close: () => Promise.resolve(), // it is the other bus's
    },
  );
  const asker = createBus({ transport: slow, clock, random: new SeededRandom(2) });
  const asked = asker.request("ask", {}, { timeoutMs: 200 });
  await clock.advance(openingMs + 100);
  assert.deepEqual((await asked).payload, { here: true });
  await asker.close();
});
