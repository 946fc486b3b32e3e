/**
 * The three ways in which the end of a delivery is committed, each killed before and after every
 * write that it makes: the process of the handler and the relay dies there, and another takes over.
 *
 *   one log            one transaction: effect, held-back event, mark and settling
 *   broker and store   effect, mark and outbox commit; the delivery is settled; the relay publishes
 *   no store           the held-back event is published, then the delivery is settled
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import {
  createBus,
  createEvent,
  memoryCarrier,
  memoryStore,
  SeededRandom,
  startRelay,
  storeUnitOfWork,
  VirtualClock,
  type Bus,
  type EventStore,
  type Lease,
  type Transport,
} from "cadre";
import { openSqlite } from "cadre/sqlite";
import { withTempFolder } from "../servers/temporary.ts";
import { Life, never, type When } from "./life.ts";

/** The carrier behind each wrapped lease: a log settles its own. */
const originals = new WeakMap<Lease, Lease>();

function mortalTransport(inner: Transport, life: Life): Transport {
  const { unitOfWork } = inner;
  const wrap = (lease: Lease): Lease => {
    const wrapped: Lease = {
      recorded: lease.recorded,
      attempt: lease.attempt,
      settle: (how) => life.write(() => lease.settle(how)),
      extend: async (ms) => (life.dead ? never() : lease.extend(ms)),
    };
    originals.set(wrapped, lease);
    return wrapped;
  };
  return {
    ...inner,
    name: inner.name,
    capabilities: inner.capabilities,
    publish: (batch) => life.write(() => inner.publish(batch)),
    open: async (spec) => {
      const intake = await inner.open(spec);
      return {
        ...intake,
        pull: async (max, signal) => life.alive((await intake.pull(max, signal)).map(wrap)),
        close: () => intake.close(),
      };
    },
    close: () => Promise.resolve(),
    ...(unitOfWork
      ? {
          unitOfWork: {
            settles: unitOfWork.settles,
            commit: (work) => {
              const lease = originals.get(work.lease) ?? work.lease;
              return life.write(() => unitOfWork.commit({ ...work, lease }));
            },
            handled: (subscription, ids) => unitOfWork.handled(subscription, ids),
          },
        }
      : {}),
  };
}

/** Only its commits count: what is read changes nothing. */
function mortalStore(inner: EventStore, life: Life): EventStore {
  return new Proxy(inner, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const method = value.bind(target) as (...args: unknown[]) => unknown;
      if (name === "commit") return (commit: never) => life.write(() => inner.commit(commit));
      if (name === "read" || name === "watch") return method;
      return async (...args: unknown[]) => life.alive(await method(...args));
    },
  });
}

interface World {
  readonly clock: VirtualClock;
  readonly transport: Transport;
  readonly store?: EventStore;
  /** Whether store and transport are two, so that a relay stands between. */
  readonly relayed: boolean;
  connect(): Transport;
  close(): Promise<void>;
}

const wanted = 3;
const leaseMs = 5_000;
const retry = { maxAttempts: 1_000, minDelayMs: 10, maxDelayMs: 100 };

/** The process that dies, and the one that comes after it. */
async function startWorker(world: World, life: Life, attempts: string[]): Promise<void> {
  const { clock } = world;
  const random = new SeededRandom(attempts.length + 1);
  const transport = mortalTransport(world.connect(), life);
  const store = world.store && mortalStore(world.store, life);
  const unitOfWork = world.relayed && store ? { unitOfWork: storeUnitOfWork(store) } : {};
  const bus: Bus = createBus({ transport, clock, random, source: "worker", ...unitOfWork });
  const stages = world.store !== undefined;
  const options = { group: "workers", from: "earliest", leaseMs, retry } as const;
  await bus.subscribe("work.wanted", options, async (event, delivery) => {
    attempts.push(event.id);
    if (stages) {
      const effect = createEvent({ clock, random, source: "worker" }, "work.effect", {
        of: event.id,
      });
      const stream = `effects/${event.id}`;
      // Whatever is there already: only the commit itself keeps it from being there twice.
      delivery.stage({
        appends: [{ stream, expectedVersion: "any", events: [effect], private: true }],
      });
    }
    await delivery.publish("work.done", { of: event.id });
  });
  if (world.relayed && store) {
    await startRelay({ store, transport, clock, random, leaseMs, pollMs: 100 });
  }
}

async function effectsOf(world: World, ids: readonly string[]): Promise<readonly number[]> {
  return Promise.all(ids.map(async (id) => (await world.store?.version(`effects/${id}`)) ?? 0));
}

/** The ids of `work.done`, for each event that was wanted. */
async function doneFor(world: World): Promise<Map<string, Set<string>>> {
  const done = new Map<string, Set<string>>();
  for await (const { event } of world.transport.read!({ type: "work.done" })) {
    if (event?.type !== "work.done") continue;
    const { of } = event.payload as { readonly of: string };
    done.set(of, (done.get(of) ?? new Set()).add(event.id));
  }
  return done;
}

interface Ending {
  /** Whether the first process died: the write it was to die at was made. */
  readonly died: boolean;
  readonly effects: readonly number[];
  readonly done: readonly number[];
}

async function runOnce(world: World, dieAt: number, when: When): Promise<Ending> {
  const { clock } = world;
  const client = createBus({ transport: world.transport, clock, random: new SeededRandom(99) });
  const ids: string[] = [];
  for (let n = 0; n < wanted; n += 1) ids.push((await client.publish("work.wanted", { n })).id);
  const attempts: string[] = [];
  const first = new Life(dieAt, when);
  void startWorker(world, first, attempts).catch(() => undefined);
  await clock.advance(3_000);
  const died = first.dead;
  first.dead = true;
  await startWorker(world, new Life(0, "before"), attempts);
  await clock.advance(8 * leaseMs);
  const done = await doneFor(world);
  return {
    died,
    effects: await effectsOf(world, ids),
    done: ids.map((id) => done.get(id)?.size ?? 0),
  };
}

/** Kills at every write in turn, until there is none left to kill at. */
async function killEverywhere(
  open: () => Promise<World>,
  check: (ending: Ending) => void,
): Promise<number> {
  let points = 0;
  for (let dieAt = 1; ; dieAt += 1) {
    for (const when of ["before", "after"] as const) {
      const world = await open();
      const ending = await runOnce(world, dieAt, when);
      await world.close();
      if (!ending.died) return points;
      points += 1;
      try {
        check(ending);
      } catch (error) {
        throw new Error(`killed ${when} write ${dieAt}`, { cause: error });
      }
    }
  }
}

const each = (count: number): number[] => Array.from({ length: wanted }, () => count);

test("one log: killed before or after any write, each effect and each event is there once", async (t) => {
  await withTempFolder(async (folder) => {
    let files = 0;
    const points = await killEverywhere(
      async () => {
        const clock = new VirtualClock();
        const log = await openSqlite(join(folder, `${++files}.db`), {
          clock,
          durability: "process",
        });
        return {
          clock,
          transport: log.transport,
          store: log.store,
          relayed: false,
          connect: () => log.transport,
          close: () => log.close(),
        };
      },
      ({ effects, done }) => {
        assert.deepEqual(effects, each(1));
        assert.deepEqual(done, each(1));
      },
    );
    assert.equal(points, 2 * wanted, "one write for each delivery");
    t.diagnostic(`${points} kills`);
  });
});

test("broker and store: killed anywhere, each effect is there once and its event has one id", async (t) => {
  const points = await killEverywhere(
    () => {
      const clock = new VirtualClock();
      const carrier = memoryCarrier({ clock });
      return Promise.resolve({
        clock,
        transport: carrier.connect(),
        store: memoryStore({ clock }),
        relayed: true,
        connect: () => carrier.connect(),
        close: () => Promise.resolve(),
      });
    },
    ({ effects, done }) => {
      assert.deepEqual(effects, each(1));
      assert.deepEqual(done, each(1));
    },
  );
  // Commit and settling of each delivery, a publish and at least one checkpoint of the relay.
  assert.ok(points >= 2 * (3 * wanted + 1), `${points} kills`);
  t.diagnostic(`${points} kills`);
});

test("no store: killed anywhere, no event is lost, and the capabilities say at least once", async (t) => {
  let twice = 0;
  const points = await killEverywhere(
    () => {
      const clock = new VirtualClock();
      const carrier = memoryCarrier({ clock });
      const transport = carrier.connect();
      assert.equal(transport.capabilities.effects, "at-least-once");
      const connect = (): Transport => carrier.connect();
      const close = (): Promise<void> => Promise.resolve();
      return Promise.resolve({ clock, transport, relayed: false, connect, close });
    },
    ({ done }) => {
      for (const count of done) assert.ok(count >= 1, "an event is lost");
      if (done.some((count) => count > 1)) twice += 1;
    },
  );
  assert.equal(points, 2 * 2 * wanted, "a publish and a settling for each delivery");
  assert.ok(twice > 0, "a kill between publish and settling publishes again");
  t.diagnostic(`${points} kills, ${twice} of them published an answer twice`);
});
