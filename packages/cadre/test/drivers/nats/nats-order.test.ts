/** What the server makes of a batch that is to keep its order. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { createEvent, secureRandom, systemClock, type AgentEvent, type Transport } from "cadre";
import { nats, type NatsClientLike } from "cadre/nats";
import { natsServerPath, startNatsServer, type NatsServer } from "../../servers/nats-server.ts";

const skip = natsServerPath() === undefined ? "there is no nats-server here" : false;
const options = { skip, timeout: 30_000 };
let server: NatsServer | undefined;
if (!skip) server = await startNatsServer();
after(() => server?.stop());

let buses = 0;

/** Gives `use` a transport on a bus of its own over a connection that `change` may spoil. */
async function withBus(
  use: (transport: Transport, client: NatsConnection, prefix: string) => Promise<void>,
  change: (client: NatsConnection) => NatsClientLike = (client) => client,
): Promise<void> {
  buses += 1;
  const prefix = `order${buses}`;
  const client = await connect({ servers: server!.url });
  const transport = nats(change(client), { prefix, requestTimeoutMs: 2_000 });
  try {
    await use(transport, client, prefix);
  } finally {
    await transport.close();
    await client.close();
  }
}

function makeEvents(count: number, type = "log.entry"): AgentEvent[] {
  return Array.from({ length: count }, (_, n) =>
    createEvent({ clock: systemClock, random: secureRandom, source: "test" }, type, { n }),
  );
}

async function idsIn(transport: Transport, type = "log.entry"): Promise<string[]> {
  const ids: string[] = [];
  for await (const { event } of transport.read!({ type })) ids.push(event!.id);
  return ids;
}

function idsOf(events: readonly AgentEvent[]): string[] {
  return events.map(({ id }) => id);
}

function shown(results: readonly ({ readonly ok: boolean } | undefined)[]): string {
  return results.map((result) => (result ? (result.ok ? "+" : "-") : ".")).join("");
}

/** A client whose `at`th publish goes wrong. */
function spoiled(
  client: NatsConnection,
  at: number,
  goWrong: (send: () => Promise<unknown>) => Promise<never>,
): NatsClientLike {
  let publishes = 0;
  return new Proxy(client, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      if (name !== "request") return value.bind(target);
      return (...args: Parameters<NatsConnection["request"]>) => {
        const send = (): ReturnType<NatsConnection["request"]> => target.request(...args);
        const isEvent = args[2]?.headers?.get("Nats-Msg-Id");
        if (!isEvent || (publishes += 1) !== at) return send();
        return goWrong(send);
      };
    },
  });
}

test("a batch keeps its order while others publish in between", options, () =>
  withBus(async (transport) => {
    await transport.publish([{ event: makeEvents(1, "other.first")[0]! }]);
    let isOver = false;
    const others = (async (): Promise<number> => {
      let count = 0;
      for (; !isOver; count += 1) {
        await transport.publish([{ event: makeEvents(1, "other.entry")[0]! }]);
      }
      return count;
    })();
    const events = makeEvents(600);
    const results = await transport.publishInOrder!(events);
    isOver = true;
    assert.ok((await others) > 0);
    assert.equal(shown(results), "+".repeat(600));
    assert.deepEqual(await idsIn(transport), idsOf(events));
    assert.equal((await idsIn(transport, "other.entry")).length, await others);
  }),
);

test("what the server refuses stops all behind it, though they were on their way", options, () =>
  withBus(async (transport, client, prefix) => {
    await transport.publish([{ event: makeEvents(1, "other.first")[0]! }]);
    const manager = await jetstreamManager(client);
    const stream = await manager.streams.find(`${prefix}.e.log.entry`);
    await manager.streams.update(stream, { max_msg_size: 2_000 });
    const events = makeEvents(20);
    const large = createEvent(
      { clock: systemClock, random: secureRandom, source: "test" },
      "log.entry",
      { text: "x".repeat(3_000) },
    );
    const batch = [...events.slice(0, 10), large, ...events.slice(10)];
    assert.equal(
      shown(await transport.publishInOrder!(batch)),
      `${"+".repeat(10)}-${".".repeat(10)}`,
    );
    assert.deepEqual(await idsIn(transport), idsOf(events.slice(0, 10)));
    assert.equal(shown(await transport.publishInOrder!(events.slice(10))), "+".repeat(10));
    assert.deepEqual(await idsIn(transport), idsOf(events));
  }),
);

test("what the stream has is known by its id, and the rest goes behind it", options, () =>
  withBus(async (transport) => {
    const events = makeEvents(40);
    assert.equal(shown(await transport.publishInOrder!(events.slice(0, 20))), "+".repeat(20));
    await transport.publish([{ event: makeEvents(1, "other.entry")[0]! }]);
    assert.equal(shown(await transport.publishInOrder!(events)), "+".repeat(40));
    assert.deepEqual(await idsIn(transport), idsOf(events));
  }),
);

test("a known event in the middle does not vouch for the one before it", options, () =>
  withBus(
    async (transport) => {
      const events = makeEvents(6);
      await transport.publish([{ event: events[3]! }]);
      // The second of the batch is not sent at all.
      assert.equal(shown(await transport.publishInOrder!(events)), "+-....");
      assert.deepEqual(await idsIn(transport), idsOf([events[3]!, events[0]!]));
    },
    (client) => spoiled(client, 3, () => Promise.reject(new Error("not sent"))),
  ),
);

test("one whose answer is lost is there if the next one stands behind it", options, () =>
  withBus(
    async (transport) => {
      const events = makeEvents(6);
      assert.equal(shown(await transport.publishInOrder!(events)), "++++++");
      assert.deepEqual(await idsIn(transport), idsOf(events));
    },
    (client) =>
      spoiled(client, 3, async (send) => {
        await send();
        throw new Error("the answer was lost");
      }),
  ),
);

test("one that never went stops those behind it", options, () =>
  withBus(
    async (transport) => {
      const events = makeEvents(6);
      assert.equal(shown(await transport.publishInOrder!(events)), "++-...");
      assert.deepEqual(await idsIn(transport), idsOf(events.slice(0, 2)));
    },
    (client) => spoiled(client, 3, () => Promise.reject(new Error("not sent"))),
  ),
);

test("one that is too large for the server stops those behind it", options, () =>
  withBus(async (transport) => {
    const [first, second] = makeEvents(2) as [AgentEvent, AgentEvent];
    await transport.publish([{ event: makeEvents(1, "other.first")[0]! }]);
    const large = { ...first, id: `${first.id}x`, payload: { text: "x".repeat(2_000_000) } };
    const results = await transport.publishInOrder!([first, large, second]);
    assert.equal(shown(results), "+-.");
    assert.deepEqual(await idsIn(transport), [first.id]);
  }),
);
