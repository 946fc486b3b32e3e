import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import {
  checkSignature,
  createEvent,
  createIdentity,
  keyRevoked,
  keyRotated,
  memory,
  memoryStore,
  SeededRandom,
  signEvent,
  systemClock,
  type,
  type AgentEvent,
  type EventStore,
} from "cadre";
import { defineAgent, defineTask, startCadre, type Cadre, type CadreOptions } from "cadre/agents";
import { until } from "../until.ts";

const keyOf = (number: number): ReturnType<typeof createIdentity> =>
  createIdentity({ seed: new Uint8Array(32).fill(number) });
const team = keyOf(1);
const reader = keyOf(2);
const forger = keyOf(3);

const Count = defineTask({
  name: "count",
  capability: "count.words",
  input: type<{ text: string }>(),
  output: type<number>(),
});

function agents(heard: AgentEvent[] = []): NonNullable<CadreOptions["agents"]> {
  return [
    defineAgent({ name: "reader", identity: reader })
      .does(Count, ({ text }, context) => {
        void context.publish("custom.counted", { text });
        return context.step("count", () => text.split(" ").length);
      })
      .on("custom.#", (event) => void heard.push(event)),
    defineAgent({ name: "plain" }).on("custom.never", () => undefined),
  ];
}

async function start(context: TestContext, options: CadreOptions): Promise<Cadre> {
  const cadre = await startCadre(options);
  context.after(() => cadre.close({ deadlineMs: 100 }));
  return cadre;
}

async function eventsOf(store: EventStore): Promise<readonly AgentEvent[]> {
  return Array.fromAsync(store.read(), ({ event }) => event);
}

for (const bus of ["one log", "two systems"] as const) {
  test(`everything that a team says is signed by who says it (${bus})`, async (context) => {
    const heard: AgentEvent[] = [];
    const store = memoryStore();
    const cadre = await start(context, {
      agents: agents(heard),
      store,
      ...(bus === "one log" ? {} : { bus: memory() }),
      identity: team,
      signatures: { mode: "require" },
    });
    const task = await cadre.tasks.create(Count, { text: "a b c" });
    assert.equal(await task.result({ timeoutMs: 5_000 }), 3);
    await until(() => heard.length > 0);
    assert.equal(heard[0]?.type, "custom.counted");
    const events = await eventsOf(store);
    assert.ok(events.length > 5);
    for (const event of events) {
      const checked = checkSignature(event);
      const signer = event.source === "reader" ? reader : team;
      assert.deepEqual(checked, { valid: true, signer: signer.did }, event.type);
    }
    assert.equal(events.filter((event) => event.type === "violation.detected").length, 0);
  });

  test(`a forger beside the team is not heard, and is on record once (${bus})`, async (context) => {
    const heard: AgentEvent[] = [];
    const store = memoryStore();
    const transport = memory();
    const options: CadreOptions = {
      agents: agents(heard),
      store,
      bus: transport,
      identity: team,
      signatures: { trusted: { cadre: team.did, second: keyOf(4).did } },
    };
    const cadre = await start(context, options);
    const second = await start(context, { ...options, name: "second", identity: keyOf(4) });
    assert.ok(second);
    const clock = systemClock;
    const making = { clock, random: new SeededRandom(7), source: "reader" };
    const forged = signEvent(createEvent(making, "custom.order", { pay: "me" }), forger);
    await transport.publish([{ event: forged }]);
    await cadre.bus.publish("custom.fine", {});
    await until(async () => {
      const events = await eventsOf(store);
      return events.some((event) => event.type === "violation.detected");
    });
    await until(() => heard.length > 0);
    assert.deepEqual(
      heard.map((event) => event.type),
      ["custom.fine"],
    );
    const violations = (await eventsOf(store)).filter(
      (event) => event.type === "violation.detected",
    );
    assert.equal(violations.length, 1);
    const [violation] = violations;
    const { agent, rule } = violation!.payload as { agent: string; rule: string };
    assert.deepEqual({ agent, rule }, { agent: "reader", rule: "forged" });
  });
}

test("a rotation in the log is known to whoever starts afterwards, and a revocation too", async (context) => {
  const store = memoryStore();
  const next = keyOf(9);
  const clock = systemClock;
  const options: CadreOptions = {
    store,
    identity: team,
    signatures: { trusted: { reader: reader.did } },
  };
  const first = await start(context, options);
  const heard: AgentEvent[] = [];
  await first.bus.subscribe("custom.#", (event) => void heard.push(event));
  const rotated = keyRotated({ agent: "reader", from: reader, to: next.did, overlapMs: 0 }, clock);
  const making = { clock, random: new SeededRandom(8), source: "reader" };
  const say = (n: number, key: typeof reader, on: Cadre): Promise<void> =>
    on.bus.publishEvent(signEvent(createEvent(making, "custom.said", { n }), key));
  await say(0, next, first);
  await store.commit({ outbox: [rotated] });
  await until(async () => {
    await say(1, next, first);
    return heard.length > 0;
  });
  await first.close();
  const second = await start(context, options);
  const later: AgentEvent[] = [];
  await second.bus.subscribe("custom.#", (event) => void later.push(event));
  await say(2, reader, second); // the overlap is over
  await say(3, next, second);
  await until(() => later.length > 0);
  assert.deepEqual(
    later.map(({ payload }) => payload),
    [{ n: 3 }],
  );
  const revoked = keyRevoked({ agent: "reader", did: next.did, by: next }, clock);
  await store.commit({ outbox: [revoked] });
  await second.close();
  const third = await start(context, options);
  const last: AgentEvent[] = [];
  await third.bus.subscribe("custom.#", (event) => void last.push(event));
  await say(4, next, third);
  await third.bus.publish("custom.end", {});
  await until(() => last.length > 0);
  assert.deepEqual(
    last.map(({ type: of }) => of),
    ["custom.end"],
  );
});
