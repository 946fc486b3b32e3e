import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { createBus, createEvent, isCadreError, memory, memoryCarrier, memoryStore } from "cadre";
import { secureRandom, systemClock, type, type ErrorCode, type Transport } from "cadre";
import { defineAgent, defineTask, startCadre, type CadreOptions } from "cadre/agents";
import { sqlite } from "cadre/sqlite";

const Echo = defineTask({ name: "echo", input: type<string>(), output: type<string>() });
const echo = defineAgent({ name: "echo" }).does(Echo, (text) => text);

test("one URL for store and bus is one log: a task is done, and nothing needs a relay", async () => {
  const folder = mkdtempSync(join(tmpdir(), "cadre-start-"));
  const url = `sqlite:${join(folder, "team.db")}`;
  const team = await startCadre({ agents: [echo], store: url, bus: url });
  assert.equal(team.bus.capabilities.effects, "once");
  assert.equal(await (await team.tasks.create(Echo, "hello")).result(), "hello");
  await team.close();
  rmSync(folder, { recursive: true });
});

test("a bus in one file beside a store in another is told what the store has, and marks there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "cadre-start-"));
  await using bus = createBus({ transport: sqlite(join(folder, "bus.db")) });
  const heard = Promise.withResolvers<unknown>();
  await bus.subscribe("custom.said", { group: "ear" }, (event) => heard.resolve(event.payload));
  const speaker = defineAgent({ name: "speaker" })
    .does(Echo, async (text, ctx) => {
      await ctx.publish("custom.said", { text });
      return text;
    })
    .on("custom.said", (event, ctx) => ctx.record("custom.noted", event.payload));
  await using team = await startCadre({
    agents: [speaker],
    store: `sqlite:${join(folder, "team.db")}`,
    bus: `sqlite:${join(folder, "bus.db")}`,
  });
  const noted = Promise.withResolvers<void>();
  const stopWatching = team.store.watch(() => {
    void team.store.version("agent/speaker").then((version) => version > 0 && noted.resolve());
  });
  await (await team.tasks.create(Echo, "hello")).result();
  assert.deepEqual(await heard.promise, { text: "hello" });
  await noted.promise;
  stopWatching();
  await Promise.all([team.close(), bus.close()]);
  rmSync(folder, { recursive: true });
});

test("a team that closes has told the bus what was committed", async () => {
  const carrier = memoryCarrier();
  await using bus = createBus({ transport: carrier.connect() });
  const heard: string[] = [];
  await bus.subscribe("custom.said", { group: "ear" }, ({ id }) => void heard.push(id));
  const inner = carrier.connect();
  const slow: Transport = {
    ...{ name: inner.name, capabilities: inner.capabilities, open: (spec) => inner.open(spec) },
    publish: async (batch) => {
      await systemClock.sleep(20);
      return inner.publish(batch);
    },
    close: () => inner.close(),
  };
  const store = memoryStore();
  const team = await startCadre({ store, bus: slow });
  const context = { clock: systemClock, random: secureRandom, source: "test" };
  const said = Array.from({ length: 20 }, (_, n) => createEvent(context, "custom.said", { n }));
  await store.commit({ outbox: said });
  await team.close();
  await bus.idle();
  assert.deepEqual(
    heard,
    said.map(({ id }) => id),
  );
});

const refusals: readonly (readonly [string, CadreOptions, ErrorCode, RegExp])[] = [
  ["an unknown option", { agnets: [] } as CadreOptions, "INVALID_OPTION", /agnets.*agents/s],
  ["a store of an unknown scheme", { store: "mongo:x" }, "INVALID_OPTION", /mongo:x.*sqlite:PATH/s],
  ["a bus that is no log, without a store", { bus: memory() }, "STORE_REQUIRED", /event store/],
  ["two agents of one name", { agents: [echo, echo] }, "INVALID_OPTION", /named "echo"/],
  ["a lease shorter than two beats", { leaseMs: 3_000 }, "INVALID_OPTION", /missed heartbeat/],
  ["a heartbeat of 0", { heartbeatMs: 0 }, "INVALID_OPTION", /heartbeatMs/],
];

for (const [name, options, code, says] of refusals) {
  test(`${name} is refused with ${code}`, async () => {
    await assert.rejects(startCadre(options), (error: unknown) => {
      assert.ok(isCadreError(error, code), String(error));
      assert.match(error.message, says);
      return true;
    });
  });
}

for (const [name, define] of [
  ["an agent's name with a space", () => defineAgent({ name: "two words" })],
  ["a capacity of 0", () => defineAgent({ name: "idle", capacity: 0 })],
  ["a task done twice", () => echo.does(Echo, (text) => text)],
  ["a task's name in capitals", () => defineTask({ name: "ECHO" })],
  ["half an attempt", () => defineTask({ name: "echo", maxAttempts: 0.5 })],
  [
    "an option of an agent that isn't one",
    () => defineAgent({ name: "a", capcity: 2 } as object as { name: string }),
  ],
  [
    "an option of a task that isn't one",
    () => defineTask({ name: "a", maxAttempt: 2 } as { name: string }),
  ],
  [
    "a retry of an ephemeral handler",
    () => echo.on("a.*", { ephemeral: true, retry: {} }, () => {}),
  ],
  [
    "two retries of one group",
    () =>
      echo
        .on("a.*", { retry: { maxAttempts: 1 } }, () => {})
        .on("b.*", { retry: { maxAttempts: 3 } }, () => {}),
  ],
] as const) {
  test(`${name} is refused where it is declared`, () => {
    assert.throws(define, (error: unknown) => isCadreError(error, "INVALID_OPTION"));
  });
}

test("a pattern that is none is refused where it is declared", () => {
  assert.throws(
    () => echo.on("a*", () => {}),
    (error: unknown) => isCadreError(error, "INVALID_PATTERN"),
  );
});

test("an option of a new task that isn't one is refused, and no task is made", async () => {
  await using team = await startCadre({ agents: [echo] });
  const options = { dependOn: ["x"] } as object;
  await assert.rejects(team.tasks.create(Echo, "hello", options), /dependOn.*dependsOn/s);
  assert.equal(await team.store.version("task/x"), 0);
});

test("a start that is refused leaves no file open", async () => {
  const folder = mkdtempSync(join(tmpdir(), "cadre-start-"));
  const options = {
    store: `sqlite:${join(folder, "store.db")}`,
    bus: `sqlite:${join(folder, "bus.db")}`,
    archive: true,
    limits: { "model:slow": { perSecond: -1 } },
  } as unknown as CadreOptions; // not as the types want it
  await assert.rejects(startCadre(options), (error) => isCadreError(error, "INVALID_OPTION"));
  // SQLite takes its journal away when the last one closes the file.
  assert.deepEqual(readdirSync(folder).toSorted(), ["bus.db", "store.db"]);
  rmSync(folder, { recursive: true });
});
