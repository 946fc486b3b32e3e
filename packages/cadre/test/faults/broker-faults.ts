/**
 * What breaks on the way between publishers, a broker and its consumers, one fault after the other:
 * nothing whose publish has resolved is lost, nobody storms the broker, and all goes on by itself.
 * Each run prints its figures as one line of JSON.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { secureRandom, systemClock, type Transport } from "cadre";
import { startFaultProxy, type CutMoment, type FaultProxy } from "cadre/testing";
import { memberFaults } from "./broker-member-faults.ts";
import type { FaultCarrier, FaultServer } from "./fault-carriers.ts";
import { FaultTally, faultType, newEvent, specOf, until } from "./fault-tally.ts";

const timeout = 300_000;
// Client libraries try again after 50 ms to 2 s: many more tries in the seconds of a fault are a
// storm.
const mostTriesOfConnection = 25;

/** A server with a proxy for publishers, one for consumers, and what connects through them. */
interface Scene {
  readonly server: FaultServer;
  readonly publishing: FaultProxy;
  readonly consuming: FaultProxy;
  readonly publishers: readonly Transport[];
  readonly consumers: readonly Transport[];
}

async function withScene(
  carrier: FaultCarrier,
  act: (scene: Scene, tally: FaultTally) => Promise<void>,
): Promise<void> {
  const target = { port: 0 }; // known when the server has started, which is told of the proxy
  const publishing = await startFaultProxy({ target, random: secureRandom });
  const server = await carrier.start({ advertisedPort: publishing.port });
  target.port = server.port;
  const consuming = carrier.isAdvertised
    ? publishing
    : await startFaultProxy({ target, random: secureRandom });
  const connect = (proxy: FaultProxy, count: number): Transport[] =>
    Array.from({ length: count }, () => carrier.connect(proxy.port));
  const [publishers, consumers] = [connect(publishing, 5), connect(consuming, 2)];
  const done = new AbortController();
  const tally = new FaultTally();
  // The group is there before anything is published.
  for (const consumer of consumers) await (await consumer.open(specOf())).close();
  const running = consumers.map((consumer) => tally.consume(consumer, specOf(), done.signal));
  try {
    await act({ server, publishing, consuming, publishers, consumers }, tally);
  } finally {
    done.abort();
    publishing.heal();
    consuming.heal();
    await Promise.allSettled(running);
    await Promise.allSettled([...publishers, ...consumers].map((each) => each.close()));
    await Promise.all([publishing.close(), consuming.close()]);
    await server.stop();
  }
}

function connections({ publishing, consuming }: Scene): number {
  const { opened } = publishing.counts;
  return consuming === publishing ? opened : opened + consuming.counts.opened;
}

function assertNoStorm(opened: number, before: number, faults: number): void {
  const most = before + before * faults * mostTriesOfConnection;
  assert.ok(opened <= most, `${opened} connections were opened, ${before} without a fault`);
}

async function killedTwice(t: TestContext, carrier: FaultCarrier): Promise<void> {
  await withScene(carrier, async (scene, tally) => {
    const count = 10_000;
    const killAt = [Math.floor(count / 3), count / 2];
    let kills = Promise.resolve();
    let before = 0;
    const kill = async (): Promise<void> => {
      before ||= connections(scene);
      await scene.server.kill();
      tally.broken();
      await systemClock.sleep(200);
      await scene.server.restart();
    };
    await tally.publishAll(scene.publishers, { count, publishers: 100 }, () => {
      if (tally.resolved.size < (killAt[0] ?? Infinity)) return;
      killAt.shift();
      kills = kills.then(kill);
    });
    await kills;
    await tally.untilDelivered();
    const opened = connections(scene);
    tally.report(t, { carrier: carrier.name, fault: "SIGKILL twice" }, { connections: opened });
    assert.equal(tally.resolved.size, count);
    assert.equal(tally.recoveriesMs.length, 2);
    assertNoStorm(opened, before, 2);
  });
}

type Place = "publish" | "delivery" | "ack";

function momentOf(place: Place, cut: "before" | "after", carrier: FaultCarrier): CutMoment {
  const often = { oneIn: 20, times: 8, cut } as const;
  if (place === "publish") return { direction: "toServer", match: faultType, ...often };
  if (place === "delivery") return { direction: "toClient", match: faultType, ...often };
  return { direction: "toServer", match: carrier.ackMark, ...often };
}

async function cutMidway(t: TestContext, carrier: FaultCarrier, place: Place): Promise<void> {
  await withScene(carrier, async (scene, tally) => {
    const proxy = place === "publish" ? scene.publishing : scene.consuming;
    const plan = { count: 500, publishers: 10 };
    await tally.publishAll(scene.publishers, plan);
    await tally.untilDelivered();
    const before = connections(scene);
    for (const cut of ["before", "after"] as const) {
      const watch = proxy.cutNext(momentOf(place, cut, carrier));
      let isOver = false;
      void watch.done.then(() => (isOver = true));
      const end = systemClock.monotonic() + 60_000;
      while (!isOver && systemClock.monotonic() < end) {
        await tally.publishAll(scene.publishers, { count: 100, publishers: 10 });
      }
      assert.ok(isOver, `${watch.count} of 8 cuts ${cut} a ${place} were made`);
    }
    await tally.untilDelivered();
    const opened = connections(scene);
    const cuts = proxy.counts.cut;
    const fault = `cut mid-${place}`;
    tally.report(t, { carrier: carrier.name, fault }, { cuts, connections: opened });
    assert.equal(cuts, 16);
    assertNoStorm(opened, before, 2);
  });
}

async function halfOpen(t: TestContext, carrier: FaultCarrier): Promise<void> {
  await withScene(carrier, async (scene, tally) => {
    await tally.publishAll(scene.publishers, { count: 200, publishers: 10 });
    await tally.untilDelivered();
    const before = connections(scene);
    const frozenAt = systemClock.monotonic();
    scene.publishing.freeze();
    scene.consuming.freeze();
    const during = tally.publishAll(scene.publishers, { count: 200, publishers: 10 });
    during.catch(() => {}); // awaited below, unless the run fails before
    // A transport that asks again by itself refuses nothing: it is seen to connect anew.
    const isNoticed = (): boolean => tally.refused > 0 || connections(scene) > before;
    await until("notice of it", carrier.noticeMs, isNoticed);
    const noticedMs = Math.round(systemClock.monotonic() - frozenAt);
    scene.publishing.thaw();
    scene.consuming.thaw();
    tally.broken();
    await during;
    await tally.publishAll(scene.publishers, { count: 100, publishers: 10 });
    await tally.untilDelivered();
    const allMs = Math.round(systemClock.monotonic() - frozenAt);
    const opened = connections(scene);
    const more = { noticedMs, allDeliveredMs: allMs, connections: opened };
    tally.report(t, { carrier: carrier.name, fault: "half-open" }, more);
    assert.ok(allMs <= 3 * carrier.noticeMs, `${allMs} ms until all was well`);
    assertNoStorm(opened, before, 1);
  });
}

async function slowBroker(t: TestContext, carrier: FaultCarrier): Promise<void> {
  await withScene(carrier, async (scene, tally) => {
    await tally.publishAll(scene.publishers, { count: 200, publishers: 10 });
    await tally.untilDelivered();
    // Of a connection there are the client's end and both of the proxy's; a pool may grow.
    const proxies = new Set([scene.publishing, scene.consuming]); // one, where there is one address
    const open = (): number => [...proxies].reduce((sum, { counts }) => sum + counts.open, 0);
    const handles = (): number => process.getActiveResourcesInfo().length - 3 * open();
    const [before, opened] = [handles(), connections(scene)];
    scene.publishing.slow({ latencyMs: 2_000 });
    scene.consuming.slow({ latencyMs: 2_000 });
    const events = Array.from({ length: 50 }, (_, n) => newEvent(n));
    tally.published += events.length;
    const outcomes = await Promise.all(
      events.map((event, index) => tally.attempt(scene.publishers[index % 5]!, event)),
    );
    const inTime = outcomes.filter((isTaken) => isTaken).length;
    scene.publishing.slow({});
    scene.consuming.slow({});
    tally.broken();
    await tally.publishAll(scene.publishers, { count: 200, publishers: 10 });
    await tally.untilDelivered();
    await until("handles as before", 15_000, () => handles() <= before + 10);
    const more = { inTime, connections: connections(scene) };
    tally.report(t, { carrier: carrier.name, fault: "slow by 2 s each way" }, more);
    assertNoStorm(connections(scene), opened, 1);
  });
}

/** Registers the fault runs of one carrier. */
export function brokerFaults(carrier: FaultCarrier): void {
  const { skip } = carrier;
  const run = (name: string, body: (t: TestContext) => Promise<void>): void =>
    void test(`${carrier.name}: ${name}`, { skip, timeout }, body);
  const killed = "10,000 events of 100 publishers outlive a SIGKILL at a third and one at the half";
  const skipped = skip || (carrier.keepsNothing ?? false);
  test(`${carrier.name}: ${killed}`, { skip: skipped, timeout }, (t) => killedTwice(t, carrier));
  for (const place of ["publish", "delivery", "ack"] as const) {
    run(`connections cut mid-${place} lose nothing`, (t) => cutMidway(t, carrier, place));
  }
  run("half-open connections are noticed, and all goes on", (t) => halfOpen(t, carrier));
  run("a broker that is slow by two seconds leaves nothing behind", (t) => slowBroker(t, carrier));
  memberFaults(carrier);
}
