import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createEvent,
  memoryStore,
  SeededRandom,
  startRelay,
  VirtualClock,
  type AgentEvent,
  type EventStore,
  type Relay,
  type RelayOptions,
} from "cadre";
import { calm, UnsureCarrier, type Carrier } from "./unsure-carrier.ts";

function setUp(seed = 1) {
  const clock = new VirtualClock();
  const random = new SeededRandom(seed);
  const store = memoryStore({ clock });
  const carrier = new UnsureCarrier(random);
  const event = (type = "task.made", metadata: { key?: string; cause?: AgentEvent } = {}) =>
    createEvent({ clock, random, source: "test" }, type, {}, metadata);
  const relay = (transport: Carrier, options: Partial<RelayOptions> = {}): Promise<Relay> =>
    startRelay({ store, transport, clock, random, leaseMs: 3_000, ...options });
  return { clock, random, store, carrier, event, relay };
}

function distinct(events: readonly AgentEvent[]): readonly string[] {
  return [...new Set(events.map(({ id }) => id))];
}

test("a backlog goes out in batches that end where a checkpoint is due", async () => {
  const { clock, store, carrier, event, relay } = setUp();
  const events = Array.from({ length: 250 }, () => event());
  await store.commit({ outbox: events });
  await using running = await relay(carrier.as("total", true), { checkpointEvery: 100 });
  await clock.settle();
  assert.deepEqual(carrier.calls, [100, 100, 50]);
  assert.deepEqual(distinct(carrier.taken), distinct(events));
  assert.equal((await running.status()).lag, 0);
});

test("one event goes at once, alone", async () => {
  const { clock, store, carrier, event, relay } = setUp();
  await using _running = await relay(carrier.as("total", true));
  await clock.settle();
  await store.commit({ outbox: [event()] });
  await clock.settle();
  assert.equal(carrier.taken.length, 1, "and no time has passed");
});

test("private events are no part of a batch, and the checkpoint moves past them", async () => {
  const { clock, store, carrier, event, relay } = setUp();
  const told = [event(), event(), event()];
  for (const each of told) {
    await store.commit({
      appends: [
        {
          stream: `steps/${each.id}`,
          expectedVersion: 0,
          events: [event(), event()],
          private: true,
        },
      ],
      outbox: [each],
    });
  }
  await store.commit({
    appends: [{ stream: "steps/1", expectedVersion: 0, events: [event()], private: true }],
  });
  await using running = await relay(carrier.as("total", true));
  await clock.settle();
  assert.deepEqual(carrier.calls, [3]);
  assert.equal((await running.status()).position, 10);
});

test("a batch has at most a mebibyte of payloads, and a larger event goes alone", async () => {
  const { clock, random, store, carrier, relay } = setUp();
  const sized = (bytes: number) =>
    createEvent({ clock, random, source: "test" }, "a.b", { text: "x".repeat(bytes) });
  const sizes = [400_000, 400_000, 400_000, 2_000_000, 10, 10];
  await store.commit({ outbox: sizes.map(sized) });
  await using _running = await relay(carrier.as("total", true));
  await clock.settle();
  assert.deepEqual(carrier.calls, [2, 1, 1, 2]);
});

test("a refusal stops at its event, which is asked alone until it is taken", async () => {
  const { clock, store, carrier, event, relay } = setUp();
  const events = [event(), event(), event("shy.one"), event(), event(), event(), event()];
  await store.commit({ outbox: events });
  let refusals = 3;
  const calls: string[][] = [];
  const transport: Carrier = {
    publish: () => Promise.reject(new Error("one at a time, only when there is one")),
    publishInOrder: async (batch) => {
      calls.push(batch.map(({ id }) => id));
      const at = refusals > 0 ? batch.findIndex(({ type }) => type === "shy.one") : -1;
      if (at >= 0) refusals -= 1;
      const taken = at < 0 ? batch : batch.slice(0, at);
      carrier.taken.push(...taken);
      return [
        ...taken.map(() => ({ ok: true as const })),
        ...(at < 0 ? [] : [{ ok: false as const, error: new Error("not now") }]),
      ];
    },
  };
  const alone: Carrier = {
    ...transport,
    publish: (batch) =>
      transport.publishInOrder!(batch.map((each) => each.event)) as ReturnType<Carrier["publish"]>,
  };
  await using running = await relay(alone, { minRetryMs: 100 });
  await clock.settle();
  const stuck = await running.status();
  assert.equal(stuck.failing?.id, events[2]!.id);
  assert.equal(stuck.position, 2, "past what was acknowledged, and no further");
  await clock.advance(10_000);
  const ids = events.map(({ id }) => id);
  assert.deepEqual(calls, [ids, [ids[2]], [ids[2]], [ids[2]], ids.slice(3, 5), ids.slice(5)]);
  assert.deepEqual(distinct(carrier.taken), ids);
});

test("a call that fails as a whole blames no event: the first is asked alone", async () => {
  const { clock, store, event, relay } = setUp();
  const events = [event(), event("too.large"), event()];
  await store.commit({ outbox: events });
  const taken: string[] = [];
  const tooLarge = Object.assign(new Error("large"), { code: "TOO_LARGE" });
  const transport: Carrier = {
    publish: async ([item]) => {
      if (item!.event.type === "too.large") throw tooLarge;
      taken.push(item!.event.id);
      return [{ ok: true }];
    },
    publishInOrder: async (batch) => {
      if (batch.some(({ type }) => type === "too.large")) throw tooLarge;
      taken.push(...batch.map(({ id }) => id));
      return batch.map(() => ({ ok: true }));
    },
  };
  await using running = await relay(transport, { isPoison: (error) => error === tooLarge });
  await clock.advance(1_000);
  assert.deepEqual(taken, [events[0]!.id, events[2]!.id]);
  assert.deepEqual(
    (await running.setAside()).map(({ id }) => id),
    [events[1]!.id],
  );
});

test("a transport that answers nothing for a batch is asked one by one, and never in a circle", async () => {
  const { clock, store, event, relay } = setUp();
  await store.commit({ outbox: [event(), event()] });
  let calls = 0;
  const mute = (): Promise<never[]> => {
    calls += 1;
    return Promise.resolve([]);
  };
  await using running = await relay({ publish: mute, publishInOrder: mute }, { minRetryMs: 100 });
  await clock.advance(1_000);
  assert.ok(calls < 10, String(calls));
  assert.equal((await running.status()).position, 0);
});

test("a relay that closes in the middle of a batch leaves the rest of one-by-one calls", async () => {
  const { clock, store, carrier, event, relay } = setUp();
  await store.commit({ outbox: [event(), event(), event(), event()] });
  const transport = carrier.as("total", false);
  const running = await relay({
    ...transport,
    publish: async (batch) => {
      const results = await transport.publish(batch);
      if (carrier.taken.length === 2) void running.close();
      return results;
    },
  });
  await clock.settle();
  await running.close();
  assert.equal(carrier.taken.length, 2);
  assert.equal((await store.slot("relay/relay/position"))?.value, "2");
});

/** What a relay reaches of the store until it is killed; then its calls never end. */
function mortal(store: EventStore, isDead: () => boolean, onCall: () => void): EventStore {
  const counted = new Set(["commit", "slot", "slots", "head"]);
  const never = (): Promise<never> => new Promise(() => {});
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      if (name === "read") {
        return async function* (query: object) {
          for await (const item of store.read(query)) {
            if (isDead()) await never();
            yield item;
          }
        };
      }
      if (!counted.has(String(name))) return value.bind(target);
      return async (...args: unknown[]) => {
        onCall();
        if (isDead()) await never();
        const result: unknown = await value.apply(target, args);
        onCall();
        if (isDead()) await never();
        return result;
      };
    },
  });
}

const kinds = [
  { order: "total", isOrdering: true },
  { order: "total", isOrdering: false },
  { order: "partition", isOrdering: true },
  { order: "partition", isOrdering: false },
  { order: "none", isOrdering: false },
] as const;

type Kind = (typeof kinds)[number] & { readonly goesOn?: boolean };

/** Lives of relays over one store, each killed somewhere; the last one meets no trouble. */
async function liveThrough(kind: Kind, seed: number) {
  const { clock, random, store, carrier, event, relay } = setUp(seed);
  const transport = carrier.as(kind.order, kind.isOrdering, kind.goesOn);
  const told: AgentEvent[] = [];
  const poison: string[] = [];
  const checkpointEvery = 1 + random.integer(12);
  const write = async (): Promise<void> => {
    for (let count = random.integer(20); count > 0; count -= 1) {
      const isPoison = random.next() < 0.05;
      const cause = random.next() < 0.3 ? told[random.integer(told.length + 1)] : undefined;
      const key = random.next() < 0.6 ? { key: `k${random.integer(4)}` } : {};
      const made = event(isPoison ? "too.large" : "task.made", { ...key, ...(cause && { cause }) });
      const isPrivate = random.next() < 0.3;
      const append = { stream: `s/${made.id}`, expectedVersion: 0, events: [made], private: true };
      await store.commit(isPrivate ? { appends: [append] } : { outbox: [made] });
      if (isPrivate) continue;
      if (isPoison) poison.push(made.id);
      else told.push(made);
    }
  };
  await write();
  let kills = 0;
  const lives = random.integer(4);
  for (let life = 0; life < lives; life += 1) {
    let isDead = false;
    const kill = (): void => {
      kills += isDead ? 0 : 1;
      isDead = true;
    };
    let callsLeft = random.integer(25);
    const onCall = (): void => {
      callsLeft -= 1;
      if (callsLeft < 0) kill();
    };
    carrier.trouble = {
      refuse: random.next() * 0.3,
      loseAnswer: random.next() < 0.5 ? 0 : 0.1,
      fail: random.next() < 0.5 ? 0 : 0.1,
    };
    carrier.killIn = random.next() < 0.5 ? random.integer(20) : Infinity;
    carrier.onKill = kill;
    void relay(transport, {
      store: mortal(store, () => isDead, onCall),
      checkpointEvery,
    });
    await clock.advance(2_000);
    await write();
    await clock.advance(4_000);
    kill();
    carrier.killIn = Infinity;
  }
  carrier.trouble = calm;
  await using heir = await relay(transport, { checkpointEvery });
  await clock.advance(30_000);
  assert.equal((await heir.status()).lag, 0);
  const aside = await heir.setAside();
  assert.deepEqual(
    aside.map(({ id }) => id),
    poison,
  );
  return { told, carrier, kills, checkpointEvery };
}

for (const kind of kinds) {
  const name = `${kind.order}${kind.isOrdering ? ", ordered batches" : ""}`;
  test(`killed and refused anywhere, nothing is lost and order is kept: ${name}`, async () => {
    const first = Number(process.env["CADRE_SEED"] ?? 1);
    const rounds = process.env["CADRE_SEED"] === undefined ? 150 : 1;
    let batches = 0;
    for (let seed = first; seed < first + rounds; seed += 1) {
      const { told, carrier, kills, checkpointEvery } = await liveThrough(kind, seed);
      const where = `CADRE_SEED=${seed}`;
      const heard = distinct(carrier.taken);
      const logged = told.map(({ id }) => id);
      batches += carrier.calls.filter((size) => size > 1).length;
      if (kind.order === "total" || (!kind.isOrdering && kind.order === "partition")) {
        assert.deepEqual(heard, logged, where);
      } else {
        assert.deepEqual(heard.toSorted(), logged.toSorted(), where);
        assertFollows(told, heard, where);
      }
      const twice = carrier.taken.length - heard.length;
      const most = kills * checkpointEvery + carrier.answersLost;
      assert.ok(twice <= most, `${where}: ${twice} told twice, ${most} at most`);
    }
    const isBatched = kind.isOrdering || kind.order === "none";
    assert.ok(isBatched ? batches > 100 : batches === 0, `${batches} batches`);
  });
}

test("a carrier that goes on behind a refused event is found out", async () => {
  const going = { order: "total", isOrdering: true, goesOn: true } as const;
  for (let seed = 1; seed < 50; seed += 1) {
    const { told, carrier } = await liveThrough(going, seed);
    const heard = distinct(carrier.taken);
    assert.equal(heard.length, told.length);
    if (told.some(({ id }, index) => heard[index] !== id)) return;
  }
  assert.fail("it kept the order");
});

/** Events of one key keep their order, and none is heard before the one that caused it. */
function assertFollows(told: readonly AgentEvent[], heard: readonly string[], where: string): void {
  const place = new Map(heard.map((id, index) => [id, index]));
  const lastOfKey = new Map<string, number>();
  for (const { id, metadata } of told) {
    const at = place.get(id)!;
    const { key, causationId } = metadata;
    if (key !== undefined) {
      assert.ok(at > (lastOfKey.get(key) ?? -1), `${where}: ${id} of ${key} comes too early`);
      lastOfKey.set(key, at);
    }
    const cause = place.get(causationId ?? "");
    if (cause !== undefined) assert.ok(cause < at, `${where}: ${id} comes before its cause`);
  }
}
