/** What only shows on a clock that is moved by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createEvent, secureRandom, VirtualClock, type AgentEvent, type EventOptions } from "cadre";
import { openSqlite, type SqliteLog } from "cadre/sqlite";
import type { ConsumeSpec, Intake, Lease } from "#src/bus/transport.ts";
import { temporaryFile } from "./temporary-file.ts";

const spec: ConsumeSpec = {
  subscription: "workers",
  mode: "group",
  patterns: ["work.#"],
  definition: "work.#",
  from: "earliest",
  leaseMs: 10_000,
  maxQueued: 100,
};

class Bench {
  readonly clock = new VirtualClock();
  readonly path = temporaryFile();
  readonly logs: SqliteLog[] = [];

  async open(): Promise<SqliteLog> {
    const log = await openSqlite(this.path, { clock: this.clock });
    this.logs.push(log);
    return log;
  }

  event(options: EventOptions = {}): AgentEvent {
    const context = { clock: this.clock, random: secureRandom, source: "test" };
    return createEvent(context, "work.wanted", {}, options);
  }

  async close(): Promise<void> {
    for (const log of this.logs) await log.close();
  }
}

/** What a pull has given by now. */
function pulling(intake: Intake, max = 10): { readonly leases: Lease[]; stop(): void } {
  const leases: Lease[] = [];
  const controller = new AbortController();
  void intake.pull(max, controller.signal).then((pulled) => leases.push(...pulled));
  return { leases, stop: () => controller.abort() };
}

test("a wall clock that is set by an hour fires no retry early and delays none", async () => {
  for (const jumpMs of [3_600_000, -3_600_000]) {
    const bench = new Bench();
    const log = await bench.open();
    const intake = await log.transport.open(spec);
    await log.transport.publish([{ event: bench.event() }]);
    const [lease] = await intake.pull(1, AbortSignal.timeout(5_000));
    await lease!.settle({ kind: "retry", delayMs: 60_000 });
    const later = pulling(intake);
    bench.clock.jump(jumpMs);
    await bench.clock.advance(59_000);
    assert.equal(later.leases.length, 0, `early after ${jumpMs}`);
    await bench.clock.advance(2_000);
    assert.equal(later.leases.length, 1, `late after ${jumpMs}`);
    assert.equal(later.leases[0]!.attempt, 2);
    await bench.close();
  }
});

test("a lease ends by the time since its row was last seen to change, on another connection too", async () => {
  const bench = new Bench();
  const [one, other] = [await bench.open(), await bench.open()];
  const first = await one.transport.open(spec);
  const second = await other.transport.open(spec);
  await one.transport.publish([{ event: bench.event() }]);
  const [lease] = await first.pull(1, AbortSignal.timeout(5_000));
  const waiting = pulling(second);
  await bench.clock.advance(8_000);
  assert.equal(await lease!.extend(10_000), "ok");
  await bench.clock.advance(9_000);
  assert.equal(waiting.leases.length, 0, "it was renewed");
  await bench.clock.advance(2_000);
  assert.equal(waiting.leases.length, 1);
  assert.equal(waiting.leases[0]!.attempt, 2);
  assert.equal(await lease!.settle({ kind: "ack" }), "lost");
  assert.equal(await waiting.leases[0]!.settle({ kind: "ack" }), "ok");
  await bench.close();
});

test("a delayed event is kept over a restart and comes at its time", async () => {
  const bench = new Bench();
  const before = await bench.open();
  await (await before.transport.open(spec)).close();
  const deliverAt = bench.clock.now() + 30_000;
  await before.transport.publish([{ event: bench.event({ deliverAt }) }]);
  await before.close();
  const log = await bench.open();
  const waiting = pulling(await log.transport.open(spec));
  await bench.clock.advance(29_000);
  assert.equal(waiting.leases.length, 0);
  await bench.clock.advance(1_500);
  assert.equal(waiting.leases.length, 1);
  await bench.close();
});

test("low priority is handed out in the end, however much comes with a higher one", async () => {
  const bench = new Bench();
  const log = await bench.open();
  const intake = await log.transport.open(spec);
  const low = bench.event({ priority: "low" });
  await log.transport.publish([{ event: low }]);
  let handled = 0;
  let seen = false;
  // One is taken for each two that come: the backlog of high ones never ends.
  for (; handled < 200 && !seen; handled += 1) {
    const urgent = [bench.event({ priority: "high" }), bench.event({ priority: "high" })];
    await log.transport.publish(urgent.map((event) => ({ event })));
    const [lease] = await intake.pull(1, AbortSignal.timeout(5_000));
    seen = lease!.recorded.event!.id === low.id;
    await lease!.settle({ kind: "ack" });
    await bench.clock.advance(1_000);
  }
  assert.ok(seen, "low was starved");
  assert.ok(handled > 10, "high goes first for a while");
  await bench.close();
});

test("nothing is polled and no timer waits while nobody pulls", async () => {
  const bench = new Bench();
  const log = await bench.open();
  const intake = await log.transport.open(spec);
  const waiting = pulling(intake);
  await bench.clock.settle();
  assert.ok(bench.clock.pending > 0);
  waiting.stop();
  await bench.clock.settle();
  assert.equal(bench.clock.pending, 0);
  await bench.close();
});

test("private events are in the log and reach no subscription and no history", async () => {
  const bench = new Bench();
  const log = await bench.open();
  const group = await log.transport.open(spec);
  const news = await log.transport.open({ ...spec, subscription: "news", mode: "broadcast" });
  const [secret, open] = [bench.event(), bench.event()];
  const append = { stream: "s", expectedVersion: 0, events: [secret], private: true };
  await log.store.commit({ appends: [append] });
  await log.store.commit({ outbox: [open] });
  for (const intake of [group, news]) {
    const leases = await intake.pull(10, AbortSignal.timeout(5_000));
    assert.deepEqual(
      leases.map(({ recorded }) => recorded.event?.id),
      [open.id],
    );
  }
  const read: string[] = [];
  for await (const { event } of log.transport.read!({})) read.push(event!.id);
  assert.deepEqual(read, [open.id]);
  await bench.close();
});

test("work for a lost lease writes nothing", async () => {
  const bench = new Bench();
  const log = await bench.open();
  const intake = await log.transport.open(spec);
  await log.transport.publish([{ event: bench.event() }]);
  const [late] = await intake.pull(1, AbortSignal.timeout(5_000));
  const next = pulling(intake);
  await bench.clock.advance(11_000);
  assert.equal(next.leases.length, 1);
  const head = await log.store.head();
  const commit = {
    outbox: [bench.event()],
    slots: [{ name: "done", expectedVersion: 0, value: "x" }],
    inbox: [{ subscription: "workers", eventId: late!.recorded.event!.id }],
  };
  const unit = log.transport.unitOfWork!;
  assert.equal(await unit.commit({ commit, lease: late! }), "lost");
  assert.equal(await log.store.head(), head);
  assert.equal(await log.store.slot("done"), undefined);
  assert.deepEqual(await log.store.marked(commit.inbox), []);
  assert.equal(await unit.commit({ commit, lease: next.leases[0]! }), "ok");
  assert.equal((await log.store.slot("done"))?.value, "x");
  assert.deepEqual(await log.store.marked(commit.inbox), commit.inbox);
  await bench.close();
});

test("work that conflicts writes nothing and keeps its lease", async () => {
  const bench = new Bench();
  const log = await bench.open();
  const intake = await log.transport.open(spec);
  await log.transport.publish([{ event: bench.event() }]);
  const [lease] = await intake.pull(1, AbortSignal.timeout(5_000));
  const head = await log.store.head();
  const appends = [{ stream: "s", expectedVersion: 5, events: [bench.event()] }];
  const unit = log.transport.unitOfWork!;
  await assert.rejects(unit.commit({ commit: { appends }, lease: lease! }), /version 0, not 5/);
  assert.equal(await log.store.head(), head);
  assert.equal(await lease!.settle({ kind: "ack" }), "ok");
  await bench.close();
});
