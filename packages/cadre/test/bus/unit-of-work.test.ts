import assert from "node:assert/strict";
import { test } from "node:test";
import type { Lease } from "#src/bus/transport.ts";
import type { Commit, DeliveredWork, UnitOfWork } from "#src/core/commit.ts";
import { CadreError, isCadreError } from "#src/core/errors.ts";
import { setUp } from "./set-up.ts";

/** A unit of work that remembers what it was given, and answers as it is told. */
class Recorder implements UnitOfWork<Lease> {
  readonly settles: boolean = false;
  readonly commits: Commit[] = [];
  readonly known = new Set<string>();
  answers: ("ok" | "lost" | Error)[] = [];

  commit(work: DeliveredWork<Lease>): Promise<"ok" | "lost"> {
    const answer = this.answers.shift() ?? "ok";
    if (answer instanceof Error) return Promise.reject(answer);
    if (answer === "ok") this.commits.push(work.commit);
    return Promise.resolve(answer);
  }

  handled(_subscription: string, eventIds: readonly string[]): Promise<ReadonlySet<string>> {
    return Promise.resolve(new Set(eventIds.filter((id) => this.known.has(id))));
  }
}

test("effects, held-back events and the mark commit together, after the handler", async (context) => {
  const unitOfWork = new Recorder();
  const { bus, clock } = setUp(context, { unitOfWork });
  await bus.subscribe("job", { group: "g" }, async (_event, delivery) => {
    await delivery.publish("out", { a: 1 });
    delivery.stage({ slots: [{ name: "s", expectedVersion: 0, value: "v" }] });
    delivery.stage({ appends: [{ stream: "x", expectedVersion: "any", events: [] }] });
    assert.equal(unitOfWork.commits.length, 0);
  });
  const event = await bus.publish("job", {});
  await clock.settle();
  const [commit] = unitOfWork.commits;
  assert.equal(unitOfWork.commits.length, 1);
  assert.deepEqual(commit?.inbox, [{ subscription: "g", eventId: event.id }]);
  assert.deepEqual(commit.slots, [{ name: "s", expectedVersion: 0, value: "v" }]);
  assert.equal(commit.appends?.length, 1);
  assert.deepEqual(
    commit.outbox?.map(({ type, metadata }) => [type, metadata.causationId]),
    [["out", event.id]],
  );
});

test("a failed attempt commits nothing of what it staged", async (context) => {
  const unitOfWork = new Recorder();
  const { bus, clock } = setUp(context, { unitOfWork });
  await bus.subscribe("job", { group: "g" }, (_event, delivery) => {
    delivery.stage({ slots: [{ name: `try${delivery.attempt}`, expectedVersion: 0, value: "v" }] });
    if (delivery.attempt < 3) throw new Error("again");
  });
  await bus.publish("job", {});
  await clock.advance(5_000);
  assert.deepEqual(
    unitOfWork.commits.map(({ slots }) => slots?.map(({ name }) => name)),
    [["try3"]],
  );
});

test("a version conflict at the commit is a failed attempt", async (context) => {
  const unitOfWork = new Recorder();
  const conflict = { stream: "s", expected: 1, actual: 2 };
  unitOfWork.answers = [new CadreError("VERSION_CONFLICT", "moved on", conflict)];
  const { bus, clock } = setUp(context, { unitOfWork });
  const attempts: number[] = [];
  await bus.subscribe("job", { group: "g" }, (_event, { attempt }) => void attempts.push(attempt));
  await bus.publish("job", {});
  await clock.advance(5_000);
  assert.deepEqual(attempts, [1, 2]);
  assert.equal(unitOfWork.commits.length, 1);
});

test("a commit that finds its delivery lost is recorded and not tried again here", async (context) => {
  const unitOfWork = new Recorder();
  unitOfWork.answers = ["lost"];
  const { bus, clock, errors } = setUp(context, { unitOfWork });
  const subscription = await bus.subscribe("job", { group: "g", leaseMs: 60_000 }, () => {});
  await bus.publish("job", {});
  await clock.advance(1_000);
  assert.equal(subscription.stats().lostLeases, 1);
  assert.equal(subscription.stats().handled, 0);
  assert.deepEqual(
    errors.map(({ code }) => code),
    ["LEASE_LOST"],
  );
});

test("an event that the inbox knows is acked without its handler", async (context) => {
  const unitOfWork = new Recorder();
  const { bus, clock } = setUp(context, { unitOfWork });
  let calls = 0;
  const subscription = await bus.subscribe("job", { group: "g" }, () => void (calls += 1));
  unitOfWork.known.add("known-1");
  await bus.publish("job", {}, { id: "known-1" });
  await clock.settle();
  assert.equal(calls, 0);
  assert.equal(subscription.stats().duplicates, 1);
});

test("staging without a unit of work is refused", async (context) => {
  const { bus, clock, errors } = setUp(context);
  await bus.subscribe("job", { group: "g", retry: { maxAttempts: 1 } }, (_event, delivery) => {
    delivery.stage({ slots: [] });
  });
  await bus.publish("job", {});
  await clock.settle();
  assert.equal(errors[0]?.code, "UNSUPPORTED");
});

test("what an attempt publishes after its end is refused", async (context) => {
  const { bus, clock } = setUp(context);
  let late: Promise<unknown> | undefined;
  await bus.subscribe("job", { group: "g" }, (_event, delivery) => {
    late = clock.sleep(10).then(() => delivery.publish("out", {}));
    late.catch(() => {});
  });
  await bus.publish("job", {});
  await clock.advance(20);
  await assert.rejects(late!, (error) => isCadreError(error, "CANCELLED"));
});
