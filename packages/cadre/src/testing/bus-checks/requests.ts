import assert from "node:assert/strict";
import { CadreError, isCadreError, type ErrorCode } from "../../core/errors.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { Latch } from "./latch.ts";

function ofCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => isCadreError(error, code);
}

async function repliesFindTheirAsker(context: CheckContext): Promise<void> {
  const [asker, other, responder] = [
    await context.createBus(),
    await context.createBus(),
    await context.createBus(),
  ];
  const [type, group] = [context.topic("double"), context.group()];
  await responder.respond(type, { group, concurrency: 64 }, async (event) => {
    const { at } = event.payload as { at: number };
    if (at % 3 === 0) await context.clock.sleep(at % 7); // out of order
    return { at, twice: 2 * at };
  });
  const numbers = Array.from({ length: 1_000 }, (_, at) => at);
  const replies = await Promise.all(
    numbers.map((at) =>
      (at % 2 === 0 ? asker : other).request(type, { at }, { timeoutMs: 30_000 }),
    ),
  );
  for (const [at, reply] of replies.entries())
    assert.deepEqual(reply.payload, { at, twice: 2 * at });
  assert.equal(asker.stats().pendingRequests + other.stats().pendingRequests, 0);
  assert.equal(asker.stats().lateReplies + other.stats().lateReplies, 0);
}

async function lateRepliesAreCounted(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("late"), context.group()];
  const latch = new Latch();
  context.defer(() => latch.open());
  await bus.respond(type, { group }, async () => {
    await latch.opened;
    return {};
  });
  // Long enough that a busy server has handed it over by then: what is expired nobody answers.
  const timeoutMs = context.leaseMs;
  await assert.rejects(bus.request(type, {}, { timeoutMs }), ofCode("TIMEOUT"));
  assert.equal(bus.stats().pendingRequests, 0);
  latch.open();
  await context.until(() => bus.stats().lateReplies === 1);
}

async function nobodyAnswers(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const startedAt = context.clock.monotonic();
  const asked = bus.request(context.topic("nobody"), {}, { timeoutMs: 300 });
  if (!context.capabilities.reportsUnroutable) {
    await assert.rejects(asked, ofCode("TIMEOUT"));
    return;
  }
  await assert.rejects(asked, ofCode("NO_RESPONDER"));
  assert.ok(context.clock.monotonic() - startedAt < 250, "failed fast");
  await bus.respond(context.topic("broadcast"), {}, () => ({ here: true }));
  const reply = await bus.request(context.topic("broadcast"), {}, { timeoutMs: 5_000 });
  assert.deepEqual(reply.payload, { here: true }, "a broadcast responder counts as one");
}

async function errorsArrive(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("failing"), context.group()];
  let calls = 0;
  await bus.respond(type, { group }, () => {
    calls += 1;
    throw new CadreError("NOT_FOUND", "There is no such thing.", { what: "thing", id: "7" });
  });
  await assert.rejects(bus.request(type, {}, { timeoutMs: 5_000 }), (error) => {
    assert.ok(isCadreError(error, "REQUEST_FAILED"));
    assert.equal(error.details.code, "NOT_FOUND");
    assert.match(error.message, /no such thing/);
    return true;
  });
  await context.quiet(20);
  assert.equal(calls, 1, "an error that was answered is not tried again");
}

async function cancellingReachesTheResponder(context: CheckContext): Promise<void> {
  const [asker, responder] = [await context.createBus(), await context.createBus()];
  const [type, group] = [context.topic("cancelled"), context.group()];
  let [started, aborted] = [false, false];
  await responder.respond(type, { group }, async (_event, { signal }) => {
    started = true;
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    aborted = true;
  });
  const controller = new AbortController();
  const asked = asker.request(type, {}, { timeoutMs: 30_000, signal: controller.signal });
  const refused = assert.rejects(asked, ofCode("CANCELLED"));
  await context.until(() => started);
  controller.abort();
  await refused;
  await context.until(() => aborted, { what: "the responder's signal" });
  assert.equal(asker.stats().pendingRequests, 0);
}

async function expiredIsNotHandled(context: CheckContext): Promise<void> {
  const bus = await context.createBus();
  const [type, group] = [context.topic("expired"), context.group()];
  let calls = 0;
  const subscription = await bus.respond(type, { group }, () => void (calls += 1));
  subscription.pause();
  await assert.rejects(bus.request(type, {}, { timeoutMs: 30 }), ofCode("TIMEOUT"));
  await context.quiet(20);
  subscription.resume();
  await context.until(() => subscription.stats().expired === 1);
  assert.equal(calls, 0);
}

async function oneOrAllAnswer(context: CheckContext): Promise<void> {
  const type = context.topic("many");
  const [asker, group] = [await context.createBus(), context.group()];
  for (const name of ["a", "b"]) {
    const bus = await context.createBus({ source: name });
    await bus.respond(type, { group }, () => ({ name }));
  }
  // Long enough for one answer on a busy server, too.
  const one = await asker.gather(type, {}, { timeoutMs: context.leaseMs });
  assert.equal(one.length, 1, "one member of a group answers");
  const third = await context.createBus({ source: "c" });
  await third.respond(type, { group: context.group("other") }, () => ({ name: "c" }));
  const two = await asker.gather(type, {}, { timeoutMs: 5_000, max: 2 });
  assert.equal(two.length, 2, "each group answers");
  const first = await asker.request(type, {}, { timeoutMs: 5_000 });
  assert.ok(["a", "b", "c"].includes(first.source));
  await context.until(() => asker.stats().lateReplies >= 1, { what: "the second reply is late" });
}

async function closingFailsOpenRequests(context: CheckContext): Promise<void> {
  const [asker, responder] = [await context.createBus(), await context.createBus()];
  const [type, group] = [context.topic("open"), context.group()];
  await responder.declareGroup(type, { group });
  const asked = assert.rejects(asker.request(type, {}, { timeoutMs: 30_000 }), ofCode("CLOSED"));
  await context.until(() => asker.stats().pendingRequests === 1);
  const report = await asker.close();
  await asked;
  assert.equal(report.failedRequests, 1);
}

const bus = "bus" as const;

export const requestChecks: readonly ConformanceCheck[] = [
  {
    id: "T-59",
    name: "1,000 requests at once get their own replies, out of order",
    level: bus,
    run: repliesFindTheirAsker,
  },
  {
    id: "T-60",
    name: "a timeout leaves nothing pending, and the late reply is counted",
    level: bus,
    run: lateRepliesAreCounted,
  },
  {
    id: "T-61",
    name: "without a responder a request fails fast where the carrier tells, else at its time",
    level: bus,
    emulated: ({ reportsUnroutable }) =>
      reportsUnroutable ? undefined : "the request fails at its deadline",
    run: nobodyAnswers,
  },
  {
    id: "T-62",
    name: "a responder's error arrives with its code, once",
    level: bus,
    run: errorsArrive,
  },
  {
    id: "T-62b",
    name: "cancelling a request reaches its responder",
    level: bus,
    run: cancellingReachesTheResponder,
  },
  {
    id: "T-62c",
    name: "a request whose time is over is not handled",
    level: bus,
    run: expiredIsNotHandled,
  },
  {
    id: "T-63",
    name: "a group answers once; of several, the first or as many as asked",
    level: bus,
    run: oneOrAllAnswer,
  },
  {
    id: "T-63b",
    name: "closing fails the requests that are open",
    level: bus,
    run: closingFailsOpenRequests,
  },
];
