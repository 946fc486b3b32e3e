/** Members that are killed, frozen, or come and go, and a broker whose disk is full. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { systemClock, type Lease } from "cadre";
import type { FaultCarrier, FaultServer } from "./fault-carriers.ts";
import { startFaultMember } from "./fault-member.ts";
import { FaultTally, newEvent, specOf, until } from "./fault-tally.ts";
import { fillDisk, mountDisk, onDisk, type SmallDisk } from "./small-disk.ts";

const timeout = 300_000;

async function withServer(
  carrier: FaultCarrier,
  act: (server: FaultServer, tally: FaultTally) => Promise<void>,
): Promise<void> {
  const server = await carrier.start();
  try {
    await act(server, new FaultTally());
  } finally {
    await server.stop();
  }
}

/** 200 events, of which a process holds 50; what becomes of them when it no longer settles. */
async function withHolder(
  carrier: FaultCarrier,
  act: (scene: {
    readonly tally: FaultTally;
    readonly member: Awaited<ReturnType<typeof startFaultMember>>;
    /** Handles all that comes, until each event has been handled. */
    readonly takeOver: () => Promise<{ readonly again: number; readonly tookMs: number }>;
  }) => Promise<void>,
): Promise<void> {
  const held = 50;
  await withServer(carrier, async (server, tally) => {
    const spec = specOf({ leaseMs: 2_000 });
    const transport = carrier.connect(server.port);
    const done = new AbortController();
    let rest = Promise.resolve();
    await (await transport.open(spec)).close();
    const member = await startFaultMember(carrier, server.port, { ...spec, credit: held });
    try {
      await tally.publishAll([transport], { count: held, publishers: 5 });
      await until("the member's holding", 30_000, async () => (await member.held()) === held);
      await tally.publishAll([transport], { count: 150, publishers: 5 });
      const takeOver = async (): Promise<{ again: number; tookMs: number }> => {
        const startedAt = systemClock.monotonic();
        const intake = await transport.open(spec);
        let again = 0;
        while (tally.lost.length > 0 && systemClock.monotonic() < startedAt + 60_000) {
          const leases = await intake.pull(20, AbortSignal.timeout(1_000)).catch(() => []);
          again += leases.filter(({ attempt }: Lease) => attempt > 1).length;
          await Promise.all(leases.map((lease) => tally.handle(lease)));
        }
        const tookMs = Math.round(systemClock.monotonic() - startedAt);
        const after = tally.consume(transport, spec, done.signal);
        rest = after.catch(() => {}); // the test has ended by then, whatever comes of it
        return { again, tookMs };
      };
      await act({ tally, member, takeOver });
    } finally {
      done.abort();
      await rest;
      await member.kill();
      await transport.close();
    }
  });
}

async function killedConsumer(t: TestContext, carrier: FaultCarrier): Promise<void> {
  await withHolder(carrier, async ({ tally, member, takeOver }) => {
    await member.kill();
    const { again, tookMs } = await takeOver();
    const figures = { heldByKilled: 50, cameAgain: again, takenOverMs: tookMs };
    tally.report(t, { carrier: carrier.name, fault: "consumer SIGKILL" }, figures);
    assert.equal(again, 50, "exactly what it held comes again, as attempt 2");
    assert.equal(tally.duplicated, 0, "and nothing is handled twice by those that live");
  });
}

async function frozenMember(t: TestContext, carrier: FaultCarrier): Promise<void> {
  await withHolder(carrier, async ({ tally, member, takeOver }) => {
    member.freeze();
    const { again, tookMs } = await takeOver();
    const answers = await member.thawAndSettle();
    await systemClock.sleep(500);
    const fenced = answers.filter((answer) => answer === "lost").length;
    const figures = { heldByFrozen: 50, cameAgain: again, fenced, takenOverMs: tookMs };
    tally.report(t, { carrier: carrier.name, fault: "member SIGSTOP past its lease" }, figures);
    assert.deepEqual([...new Set(answers)], ["lost"], "every late settlement is fenced off");
    assert.equal(again, 50);
    assert.equal(tally.duplicated, 0, "what was handled does not come again");
  });
}

async function rebalance(t: TestContext, carrier: FaultCarrier): Promise<void> {
  await withServer(carrier, async (server, tally) => {
    const spec = specOf({ leaseMs: 10_000 });
    const members = Array.from({ length: 3 }, () => carrier.connect(server.port));
    const publisher = carrier.connect(server.port);
    const ends = members.map(() => new AbortController());
    const running: Promise<void>[] = [];
    const join = (index: number): void =>
      void (running[index] = tally.consume(members[index]!, spec, ends[index]!.signal));
    const leave = async (index: number): Promise<void> => {
      ends[index]!.abort();
      await running[index];
      await members[index]!.close();
    };
    await (await members[0]!.open(spec)).close();
    join(0);
    join(1);
    const stages = [() => join(2), () => leave(0), () => leave(1)];
    const moves: unknown[] = [];
    await tally.publishAll([publisher], { count: 3_000, publishers: 20 }, () => {
      if (tally.resolved.size >= 750 * (moves.length + 1)) moves.push(stages[moves.length]?.());
    });
    await Promise.all(moves);
    await tally.untilDelivered();
    tally.report(t, { carrier: carrier.name, fault: "members 2→3→1" });
    assert.equal(tally.duplicated, 0, "nobody was revoked in the middle of an event");
    ends[2]!.abort();
    await running[2];
    await Promise.all([...members, publisher].map((each) => each.close()));
  });
}

async function fullDisk(t: TestContext, carrier: FaultCarrier): Promise<void> {
  const disk = mountDisk(carrier.diskMb);
  if (disk === undefined) {
    t.skip("no file system can be mounted here");
    return;
  }
  try {
    const server = await onDisk(disk, () => carrier.start());
    try {
      await fillAndEmpty(t, carrier, server, disk);
    } finally {
      await server.stop();
    }
  } finally {
    disk.unmount();
  }
}

async function fillAndEmpty(
  t: TestContext,
  carrier: FaultCarrier,
  server: FaultServer,
  disk: SmallDisk,
): Promise<void> {
  const tally = new FaultTally();
  const transport = carrier.connect(server.port);
  const done = new AbortController();
  await (await transport.open(specOf())).close();
  await tally.publishAll([transport], { count: 100, publishers: 5 });
  const empty = fillDisk(disk);
  const end = systemClock.monotonic() + 60_000;
  // Until it refuses: what the server has set aside takes some more.
  while (tally.refused < 20 && systemClock.monotonic() < end) {
    tally.published += 10;
    const events = Array.from({ length: 10 }, (_, n) => newEvent(n, "x".repeat(20_000)));
    await Promise.all(events.map((event) => tally.attempt(transport, event)));
  }
  const { refused } = tally;
  empty();
  tally.broken();
  await server.restart();
  const consuming = tally.consume(transport, specOf(), done.signal);
  await tally.publishAll([transport], { count: 100, publishers: 5 });
  await tally.untilDelivered();
  tally.report(t, { carrier: carrier.name, fault: "disk full" }, { refusedWhileFull: refused });
  assert.ok(refused >= 20, "a full disk takes no more");
  done.abort();
  await consuming;
  await transport.close();
}

/** Registers the runs in which members or the disk fail. */
export function memberFaults(carrier: FaultCarrier): void {
  const { skip } = carrier;
  const run = (name: string, body: (t: TestContext) => Promise<void>): void =>
    void test(`${carrier.name}: ${name}`, { skip, timeout }, body);
  run("what a killed consumer held comes again, and nothing else", (t) =>
    killedConsumer(t, carrier),
  );
  run("a member that was frozen past its lease is fenced off", (t) => frozenMember(t, carrier));
  run("members that come and go under load lose and double nothing", (t) => rebalance(t, carrier));
  test(
    `${carrier.name}: a full disk refuses, keeps what it took, and goes on`,
    { skip: skip || (carrier.keepsNothing ?? false), timeout },
    (t) => fullDisk(t, carrier),
  );
}
