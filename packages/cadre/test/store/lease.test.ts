import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock, createLeases, isCadreError, memoryStore } from "cadre";
import { changed } from "../changed.ts";

const request = (owner: string) => ({ name: "relay", owner, ttlMs: 1_000 });
const isLost = (error: unknown): boolean => isCadreError(error, "LEASE_LOST");

test("one of many gets a lease, and release hands it on with a larger epoch", async () => {
  const [store, clock] = [memoryStore(), new VirtualClock()];
  const all = Array.from({ length: 5 }, () => createLeases({ store, clock }));
  const tries = await Promise.all(
    all.map((leases, index) => leases.tryAcquire(request(`${index}`))),
  );
  const [held, ...others] = tries.filter((lease) => lease !== undefined);
  assert.equal(others.length, 0);
  assert.equal(held?.epoch, 1);
  await held.release();
  assert.equal(held.valid(), false);
  await assert.rejects(held.renew(), isLost);
  await held.release();
  const next = await all[4]!.tryAcquire(request("next"));
  assert.equal(next?.epoch, 2);
});

test("a lease that is not renewed is taken after its time, and not before", async () => {
  const [store, clock] = [memoryStore(), new VirtualClock()];
  const holder = await createLeases({ store, clock }).tryAcquire(request("a"));
  const watching = createLeases({ store, clock });
  assert.ok(holder);
  for (let round = 0; round < 10; round += 1) {
    assert.equal(await watching.tryAcquire(request("b")), undefined);
    await clock.advance(900);
    await holder.renew();
  }
  assert.equal(await watching.tryAcquire(request("b")), undefined);
  await clock.advance(999);
  assert.equal(holder.valid(), true);
  assert.equal(await watching.tryAcquire(request("b")), undefined);
  await clock.advance(1);
  assert.equal(holder.valid(), false, "the holder gives up first");
  assert.equal(await watching.tryAcquire(request("b")), undefined);
  await clock.advance(100);
  const taken = await watching.tryAcquire(request("b"));
  assert.equal(taken?.epoch, 2);
  await assert.rejects(holder.renew(), isLost);
});

test("an observer that has just come waits the whole time, whatever the wall clock says", async () => {
  const [store, clock] = [memoryStore(), new VirtualClock()];
  await createLeases({ store, clock }).tryAcquire(request("a"));
  await clock.advance(5_000);
  const late = createLeases({ store, clock });
  clock.jump(3_600_000);
  assert.equal(await late.tryAcquire(request("b")), undefined);
  assert.deepEqual(await late.observe("relay"), {
    owner: "a",
    epoch: 1,
    ended: false,
    leftMs: 1_100,
  });
  clock.jump(-7_200_000);
  await clock.advance(1_099);
  assert.equal(await late.tryAcquire(request("b")), undefined);
  await clock.advance(1);
  assert.equal((await late.observe("relay"))?.ended, true);
  assert.equal((await late.tryAcquire(request("b")))?.epoch, 2);
  assert.equal(await late.observe("none"), undefined);
});

test("two who find a lease ended at once: one of them gets it", async () => {
  const [store, clock] = [memoryStore(), new VirtualClock()];
  await createLeases({ store, clock }).tryAcquire(request("a"));
  const racers = Array.from({ length: 8 }, () => createLeases({ store, clock }));
  await Promise.all(racers.map((leases) => leases.observe("relay")));
  await clock.advance(1_100);
  const taken = await Promise.all(
    racers.map((leases, index) => leases.tryAcquire(request(`${index}`))),
  );
  assert.equal(taken.filter((lease) => lease !== undefined).length, 1);
});

test("a commit under a lost lease writes nothing, even if its holder still believes", async () => {
  const [store, clock] = [memoryStore(), new VirtualClock()];
  const frozenClock = new VirtualClock(); // the holder's process is stopped: its time stands still
  const holder = await createLeases({ store, clock: frozenClock }).tryAcquire(request("a"));
  const other = createLeases({ store, clock });
  await other.observe("relay");
  await clock.advance(1_100);
  const taken = await other.tryAcquire(request("b"));
  assert.ok(holder && taken);
  assert.ok(holder.valid() && taken.valid(), "both believe");
  const write = (value: string) => ({
    slots: [{ name: "checkpoint", expectedVersion: "any" as const, value }],
  });
  await assert.rejects(holder.commit(write("late")), isLost);
  assert.equal(await store.slot("checkpoint"), undefined);
  assert.equal(holder.valid(), false);
  await taken.commit(write("right"));
  assert.equal((await store.slot("checkpoint"))?.value, "right");
});

test("a commit renews the lease; a conflict of what it writes does not cost the lease", async () => {
  const [store, clock] = [memoryStore(), new VirtualClock()];
  const lease = await createLeases({ store, clock }).tryAcquire(request("a"));
  assert.ok(lease);
  await clock.advance(900);
  await Promise.all([lease.renew(), lease.commit({}), lease.renew()]);
  await clock.advance(900);
  assert.equal(lease.valid(), true);
  await assert.rejects(
    lease.commit({ slots: [{ name: "x", expectedVersion: 7, value: "" }] }),
    (error) => isCadreError(error, "VERSION_CONFLICT"),
  );
  await lease.renew();
  assert.equal(lease.valid(), true);
});

test("a renewal whose answer was lost does not cost the lease", async () => {
  const [inner, clock] = [memoryStore(), new VirtualClock()];
  let losing = false;
  const store = changed(inner, {
    commit: async (commit) => {
      const result = await inner.commit(commit);
      if (losing) throw new Error("the answer was lost");
      return result;
    },
  });
  const lease = await createLeases({ store, clock }).tryAcquire(request("a"));
  losing = true;
  await assert.rejects(lease!.renew(), /lost/);
  losing = false;
  await lease!.renew();
  assert.equal(lease!.valid(), true);
  await lease!.release();
});

test("acquire waits for the release, and stops waiting when told", async () => {
  const [store, clock] = [memoryStore(), new VirtualClock()];
  const holder = await createLeases({ store, clock }).acquire(request("a"));
  const waiting = createLeases({ store, clock }).acquire(request("b"));
  const stop = new AbortController();
  const given = createLeases({ store, clock }).acquire(request("c"), stop.signal);
  const refused = assert.rejects(given, /enough/);
  await clock.advance(400);
  stop.abort(new Error("enough"));
  await refused;
  await holder.release();
  await clock.advance(400);
  assert.equal((await waiting).epoch, 2);
});

test("an impossible request is refused", async () => {
  const leases = createLeases({ store: memoryStore(), clock: new VirtualClock() });
  for (const bad of [{ owner: "" }, { name: "" }, { ttlMs: 0 }, { ttlMs: 1.5 }]) {
    await assert.rejects(leases.tryAcquire({ ...request("a"), ...bad }), (error) =>
      isCadreError(error, "INVALID_OPTION"),
    );
  }
});
