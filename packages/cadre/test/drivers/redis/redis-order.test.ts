/** What the server makes of a batch that is to keep its order. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Redis } from "ioredis";
import { createEvent, secureRandom, systemClock, type AgentEvent, type Transport } from "cadre";
import { redis } from "cadre/redis";
import { redisServerPath, startRedisServer } from "../../servers/redis-server.ts";

const skip = redisServerPath() === undefined ? "there is no redis-server here" : false;
const options = { skip, timeout: 30_000 };
const server = skip ? undefined : await startRedisServer();
after(() => server?.stop());

function makeEvents(count: number, type = "log.entry", bytes = 10): AgentEvent[] {
  return Array.from({ length: count }, (_, n) =>
    createEvent({ clock: systemClock, random: secureRandom, source: "test" }, type, {
      n,
      text: "x".repeat(bytes),
    }),
  );
}

async function idsIn(transport: Transport): Promise<string[]> {
  const ids: string[] = [];
  for await (const { event } of transport.read!({ type: "log.entry" })) ids.push(event!.id);
  return ids;
}

function idsOf(events: readonly AgentEvent[]): string[] {
  return events.map(({ id }) => id);
}

function shown(results: readonly ({ readonly ok: boolean } | undefined)[]): string {
  return results.map((result) => (result ? (result.ok ? "+" : "-") : ".")).join("");
}

async function withBus(
  prefix: string,
  use: (transport: Transport, client: Redis) => Promise<void>,
): Promise<void> {
  const client = new Redis(server!.url);
  const transport = redis(server!.url, { prefix, maxBytes: 10_000 });
  try {
    await use(transport, client);
  } finally {
    await transport.close();
    await client.quit();
  }
}

test("a long batch keeps its order, and told again it is known", options, () =>
  withBus("long", async (transport) => {
    const events = makeEvents(300);
    assert.equal(shown(await transport.publishInOrder!(events)), "+".repeat(300));
    assert.equal(shown(await transport.publishInOrder!(events)), "+".repeat(300));
    assert.deepEqual(await idsIn(transport), idsOf(events));
  }),
);

test("what the server refuses stops all behind it", options, () =>
  withBus("refused", async (transport, client) => {
    await transport.publish([{ event: makeEvents(1)[0]! }]);
    const [stream] = (await client.keys("*refused*")).filter((key) => /log/.test(key));
    assert.ok(stream);
    await client.set(stream.replace("log", "broken"), "no stream");
    const before = makeEvents(70);
    const [refused] = makeEvents(1, "broken.entry");
    const behind = makeEvents(70);
    const results = await transport.publishInOrder!([...before, refused!, ...behind]);
    assert.equal(shown(results), `${"+".repeat(70)}-${".".repeat(70)}`);
    assert.deepEqual((await idsIn(transport)).slice(1), idsOf(before));
    assert.equal(shown(await transport.publishInOrder!(behind)), "+".repeat(70));
    assert.deepEqual((await idsIn(transport)).slice(1), idsOf([...before, ...behind]));
  }),
);

test("one that is too large stops all behind it; those before it go", options, () =>
  withBus("large", async (transport) => {
    const [first, second, third] = makeEvents(3);
    const [large] = makeEvents(1, "log.entry", 20_000);
    const results = await transport.publishInOrder!([first!, second!, large!, third!]);
    assert.equal(shown(results), "++-.");
    assert.deepEqual(await idsIn(transport), idsOf([first!, second!]));
    assert.equal(shown(await transport.publishInOrder!([large!, third!])), "-.");
  }),
);
