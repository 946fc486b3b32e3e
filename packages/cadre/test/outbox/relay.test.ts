import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CadreError,
  SeededRandom,
  VirtualClock,
  createEvent,
  isCadreError,
  memory,
  memoryStore,
  startRelay,
} from "cadre";
import type { AgentEvent, EventStore, RelayOptions } from "cadre";

const random = new SeededRandom(3);

/** What happens to one publish: it may be refused, before or after the carrier took the event. */
type Judge = (event: AgentEvent, call: number) => unknown;

class RecordingBus {
  readonly published: string[] = [];
  readonly raised: Parameters<NonNullable<RelayOptions["bus"]>["raise"]>[0][] = [];
  judge: Judge = () => undefined;
  #calls = 0;

  async publishEvent(event: AgentEvent): Promise<void> {
    const refusal = this.judge(event, (this.#calls += 1));
    if (refusal !== undefined) throw refusal;
    this.published.push(event.id);
  }

  raise(error: (typeof this.raised)[number]): void {
    this.raised.push(error);
  }
}

const unreachable = (): Error =>
  new CadreError("UNREACHABLE", "gone", { url: "nats://x", tried: 1 });
const tooLarge = (): Error => new CadreError("TOO_LARGE", "large", { bytes: 2, maxBytes: 1 });

function setUp() {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const bus = new RecordingBus();
  const event = (type = "task.created"): AgentEvent =>
    createEvent({ clock, random, source: "test" }, type, {});
  const write = async (...events: AgentEvent[]): Promise<string[]> => {
    await store.commit({ outbox: events });
    return events.map(({ id }) => id);
  };
  const relay = (options: Partial<RelayOptions> = {}) =>
    startRelay({ store, bus, clock, random, leaseMs: 3_000, ...options });
  return { clock, store, bus, event, write, relay };
}

test("what is committed is published in the order of the log, private events never", async () => {
  const { clock, store, bus, event, relay } = setUp();
  const [a, b, c, d] = [event(), event(), event(), event()];
  await store.commit({
    appends: [
      { stream: "task/1", expectedVersion: 0, events: [a, b] },
      { stream: "steps/1", expectedVersion: 0, events: [event(), event()], private: true },
    ],
    outbox: [c],
  });
  await using running = await relay();
  await clock.settle();
  assert.deepEqual(bus.published, [a.id, b.id, c.id]);
  await store.commit({ outbox: [d] });
  await clock.settle();
  assert.deepEqual(bus.published, [a.id, b.id, c.id, d.id]);
  const status = await running.status();
  assert.deepEqual(status, { phase: "active", position: 6, lag: 0, published: 4, setAside: 0 });
});

test("a relay to a transport needs no bus", async () => {
  const { clock, store, write } = setUp();
  const transport = memory({ clock });
  const ids: string[] = [];
  await using relay = await startRelay({ store, transport, clock, random });
  const written = await write(
    ...["a.b", "a.c"].map((type) => createEvent({ clock, random, source: "test" }, type, {})),
  );
  await clock.settle();
  assert.equal((await relay.status()).published, 2);
  for await (const { event } of transport.read!({})) ids.push(event!.id);
  assert.deepEqual(ids, written);
  await transport.close();
});

test("a restart goes on behind the checkpoint; without one it begins with the log", async () => {
  const { clock, bus, event, write, relay } = setUp();
  const first = await write(event(), event());
  const one = await relay();
  await clock.settle();
  await one.close();
  await one.close();
  assert.equal((await one.status()).phase, "closed");
  const second = await write(event());
  await using _two = await relay();
  await clock.advance(1_000);
  assert.deepEqual(bus.published, [...first, ...second]);
});

test("of many relays one is active; when it closes another goes on and doubles nothing", async () => {
  const { clock, bus, event, write, relay } = setUp();
  const relays = [await relay(), await relay(), await relay()];
  const written: string[] = [];
  for (const running of relays) {
    written.push(...(await write(event(), event())));
    await clock.advance(2_000);
    const phases = await Promise.all(relays.map(async (each) => (await each.status()).phase));
    assert.equal(phases.filter((phase) => phase === "active").length, 1, phases.join());
    const active = relays[phases.indexOf("active")]!;
    assert.equal((await active.status()).lag, 0);
    await active.close();
    void running;
  }
  assert.deepEqual(bus.published, written);
});

test("a carrier that is away is asked again with a growing pause, and order is kept", async () => {
  const { clock, bus, event, write, relay } = setUp();
  const times: number[] = [];
  bus.judge = () => {
    times.push(clock.monotonic());
    return times.length <= 8 ? unreachable() : undefined;
  };
  await using running = await relay({ minRetryMs: 100, maxRetryMs: 2_000 });
  const written = await write(event(), event(), event());
  await clock.advance(1_000);
  const stuck = await running.status();
  assert.equal(stuck.lag, 3);
  assert.equal(stuck.failing?.id, written[0]);
  assert.equal(stuck.failing?.since, clock.now() - 1_000);
  assert.equal(stuck.failing?.attempts, 4);
  assert.ok(isCadreError(stuck.failing?.error, "UNREACHABLE"));
  await clock.advance(20_000);
  const pauses = times.slice(0, 9).map((at, index) => at - (times[index - 1] ?? 0));
  assert.deepEqual(pauses, [0, 100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
  assert.deepEqual(bus.published, written);
  assert.equal((await running.status()).failing, undefined);
  assert.deepEqual(
    bus.raised.map(({ severity, code }) => [severity, code]),
    [
      ["warning", "UNREACHABLE"],
      ["error", "UNREACHABLE"],
    ],
  );
});

test("an event that is refused for ever is set aside, and the others go on", async () => {
  const { clock, store, bus, event, write, relay } = setUp();
  let limit = true;
  bus.judge = ({ type }) => (limit && type === "too.large" ? tooLarge() : undefined);
  await using running = await relay();
  const [first, poison, last] = await write(event(), event("too.large"), event());
  await clock.advance(100);
  assert.deepEqual(bus.published, [first, last]);
  const [aside, ...rest] = await running.setAside();
  assert.deepEqual(rest, []);
  assert.deepEqual(
    [aside?.position, aside?.id, aside?.type, aside?.error.code, aside?.attempts],
    [2, poison, "too.large", "TOO_LARGE", 1],
  );
  assert.equal((await running.status()).setAside, 1);
  assert.equal(bus.raised[0]?.severity, "error");
  assert.equal(bus.raised[0]?.event?.id, poison);
  await assert.rejects(running.republish(2), (error) => isCadreError(error, "TOO_LARGE"));
  assert.equal((await running.setAside()).length, 1, "still there after another refusal");
  limit = false;
  assert.equal(await running.republish(2), true);
  assert.equal(await running.republish(2), false);
  assert.deepEqual(bus.published, [first, last, poison]);
  assert.deepEqual(await store.slots("relay/relay/aside/"), []);
});

test("isPoison decides when to give up on an event", async () => {
  const { clock, bus, event, write, relay } = setUp();
  bus.judge = ({ type }) => (type === "bad" ? new Error("never") : undefined);
  await using running = await relay({ isPoison: (_error, attempts) => attempts >= 3 });
  const [, good] = await write(event("bad"), event());
  await clock.advance(1_000);
  assert.deepEqual(bus.published, [good]);
  assert.equal((await running.setAside())[0]?.attempts, 3);
});

test("a relay that was paused longer than its lease cannot move the checkpoint back", async () => {
  const { clock, store, bus, event, write, relay } = setUp();
  const stopped = new VirtualClock(); // the process is frozen: its time stands still
  let release: () => void = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const slow = new RecordingBus();
  const frozen = await startRelay({
    store,
    clock: stopped,
    random,
    leaseMs: 3_000,
    bus: {
      publishEvent: async (each) => {
        await held;
        await slow.publishEvent(each);
      },
      raise: (error) => slow.raise(error),
    },
  });
  const written = await write(event(), event(), event());
  await stopped.settle();
  await using other = await relay();
  await clock.advance(10_000);
  assert.deepEqual(bus.published, written);
  release();
  await stopped.settle();
  await stopped.advance(2_000);
  assert.equal((await store.slot("relay/relay/position"))?.value, "3");
  assert.equal((await frozen.status()).phase, "standby");
  assert.equal((await other.status()).phase, "active");
  const late = new Set(slow.published);
  assert.ok(
    [...late].every((id) => written.includes(id)),
    "the same ids again, and no others",
  );
  await frozen.close();
});

test("idle resolves when what was committed is out, and rejects after close", async () => {
  const { clock, bus, event, write, relay } = setUp();
  bus.judge = (_event, call) => (call <= 3 ? unreachable() : undefined);
  const running = await relay();
  const written = await write(event(), event());
  const idle = running.idle();
  await clock.advance(5_000);
  await idle;
  assert.deepEqual(bus.published, written);
  bus.judge = unreachable;
  await write(event());
  const never = assert.rejects(running.idle(), (error) => isCadreError(error, "CLOSED"));
  await clock.settle();
  await running.close();
  await clock.advance(1_000);
  await never;
  assert.equal(clock.pending, 0, "no timer is left");
});

test("impossible options are refused", async () => {
  const { store, bus, clock } = setUp();
  const transport = memory({ clock });
  const bad: readonly Partial<Record<keyof RelayOptions | "lease", unknown>>[] = [
    { bus: undefined },
    { transport },
    { leaseMs: 0 },
    { name: "" },
    { checkpointEvery: 1.5 },
    { lease: 3 },
  ];
  for (const options of bad) {
    await assert.rejects(startRelay({ store, bus, clock, ...options } as RelayOptions), (error) =>
      isCadreError(error, "INVALID_OPTION"),
    );
  }
  await transport.close();
});

/** Lets some calls through to store and carrier, then dies: before or after the last took effect. */
class Killer {
  #left: number;
  readonly #after: boolean;
  dead = false;

  constructor(calls: number, after: boolean) {
    this.#left = calls;
    this.#after = after;
  }

  async call<Result>(run: () => Promise<Result>): Promise<Result> {
    if (this.dead) throw new Error("the process is dead");
    this.#left -= 1;
    if (this.#left > 0) return run();
    this.dead = true;
    if (this.#after) await run();
    throw new Error("killed");
  }

  store(store: EventStore): EventStore {
    const names: readonly (string | symbol)[] = ["commit", "slot", "slots", "head"];
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        if (name === "read") return (query: object) => this.#read(store.read(query));
        if (!names.includes(name)) return value.bind(target);
        return (...args: unknown[]) =>
          this.call(async () => (await value.apply(target, args)) as unknown);
      },
    });
  }

  async *#read<Item>(items: AsyncIterable<Item>): AsyncIterable<Item> {
    for await (const item of items) {
      if (this.dead) throw new Error("the process is dead");
      yield item;
    }
  }
}

test("killed before or after any call, nothing is lost, ids stay, order is kept", async () => {
  let reachedTheEnd = 0;
  for (const after of [false, true]) {
    for (let calls = 1; calls <= 40; calls += 1) {
      const { clock, store, bus, event, write, relay } = setUp();
      bus.judge = ({ type }) => (type === "too.large" ? tooLarge() : undefined);
      const poison = event("too.large");
      const written = await write(event(), event(), poison, event(), event());
      const killer = new Killer(calls, after);
      const dying = await relay({
        store: killer.store(store),
        checkpointEvery: 2,
        bus: {
          publishEvent: (each) => killer.call(() => bus.publishEvent(each)),
          raise: () => {},
        },
      }).catch(() => undefined);
      await clock.settle();
      written.push(...(await write(event(), event())));
      await clock.advance(500);
      const before = bus.published.length;
      if (!killer.dead) reachedTheEnd += 1;
      killer.dead = true;
      await using heir = await relay({ checkpointEvery: 2 });
      await clock.advance(8_000);
      const where = `killed ${after ? "after" : "before"} call ${calls}`;
      const expected = written.filter((id) => id !== poison.id);
      assert.deepEqual([...new Set(bus.published)], expected, where);
      assert.ok(bus.published.length - expected.length <= 2, `${where}: ${bus.published.length}`);
      const again = bus.published.slice(before);
      const start = expected.indexOf(again[0] ?? expected.at(-1)!);
      assert.deepEqual(again, again.length > 0 ? expected.slice(start) : [], where);
      assert.deepEqual(
        (await heir.setAside()).map(({ id }) => id),
        [poison.id],
        where,
      );
      assert.equal((await heir.status()).lag, 0, where);
      await dying?.close();
    }
  }
  assert.ok(reachedTheEnd > 2, "the last rounds outlive the whole work");
});

test("a store that fails now and then delays the relay and loses nothing", async () => {
  const { clock, store, bus, event, write, relay } = setUp();
  const chance = new SeededRandom(11);
  const flaky = new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      if (!["commit", "slot", "head"].includes(String(name))) return value.bind(target);
      return async (...args: unknown[]) => {
        if (chance.next() < 0.15) throw new Error("busy");
        const result = (await value.apply(target, args)) as unknown;
        if (chance.next() < 0.15) throw new Error("the answer was lost");
        return result;
      };
    },
  });
  const written: string[] = [];
  let running = await relay({ store: flaky, checkpointEvery: 3 }).catch(() => undefined);
  for (let round = 0; round < 30; round += 1) {
    running ??= await relay({ store: flaky, checkpointEvery: 3 }).catch(() => undefined);
    written.push(...(await write(event(), event())));
    await clock.advance(4_000);
  }
  await clock.advance(60_000);
  assert.deepEqual([...new Set(bus.published)], written);
  await running?.close();
});
