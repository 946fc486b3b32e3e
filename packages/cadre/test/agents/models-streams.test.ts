/** Texts of models while they are written: read along, resumed, and read from the record. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import {
  defineAgent,
  defineTask,
  readStream,
  type ModelOptions,
  type StreamPiece,
} from "cadre/agents";
import { scriptedModel, testTeam, type ScriptedReply, type TestTeam } from "cadre/testing";
import { sdks, type Sdk } from "./models-sdk.ts";

const Tell = defineTask({ name: "tell", output: type<string>(), maxAttempts: 2 });

const chunks = Array.from({ length: 40 }, (_, index) => `word ${index}, `);
const story = chunks.join("");

function teller(bench: TestTeam, sdk: Sdk, replies: readonly ScriptedReply[], own?: ModelOptions) {
  const { specificationVersion } = sdk;
  const model = scriptedModel(replies, { clock: bench.clock, specificationVersion });
  const agent = defineAgent({ name: "teller" }).does(Tell, async (_input, ctx) => {
    const asked = {
      model: ctx.model(model, own) as Parameters<typeof sdk.ai.streamText>[0]["model"],
      prompt: "Tell a story.",
      onError: () => undefined,
    };
    return sdk.ai.streamText(asked).text;
  });
  return { agent, model };
}

async function collect(pieces: AsyncIterable<StreamPiece>, into: StreamPiece[] = []) {
  for await (const piece of pieces) into.push(piece);
  return into;
}

function assertWhole(pieces: readonly StreamPiece[], from = 0): void {
  let offset = from;
  for (const piece of pieces) {
    assert.equal(piece.offset, offset, "no gap, and nothing twice");
    offset += piece.text.length;
  }
  assert.equal(pieces.map(({ text }) => text).join(""), story.slice(from));
}

for (const sdk of sdks) {
  test(`a reader has every character once, however late it comes (${sdk.name})`, async () => {
    const bench = testTeam();
    const { agent } = teller(bench, sdk, [{ chunks, delayMs: 50 }]);
    const team = await bench.start({ agents: [agent] });
    const other = await bench.start({ name: "elsewhere" });
    const options = { clock: bench.clock };
    const early = collect(readStream(other.store, "t/model#1", options));
    const task = await team.tasks.create(Tell, {}, { id: "t" });
    await bench.clock.advance(1_000);
    const late = collect(readStream(other.store, "t/model#1", options));
    const resumed = collect(readStream(other.store, "t/model#1", { ...options, fromOffset: 60 }));
    assert.equal(await bench.until(task.result()), story);
    assertWhole(await bench.until(early));
    assertWhole(await bench.until(late));
    assertWhole(await bench.until(resumed), 60);
    const after = await bench.until(collect(readStream(other.store, "t/model#1", options)));
    assertWhole(after);
    assert.deepEqual([after.length, after[0]?.last], [1, true]);
    const numbers = (await early).map(({ number }) => number);
    assert.deepEqual(
      numbers,
      [...numbers.keys()].map((index) => index + 1),
    );
    // 40 words in two seconds, kept back for 200 ms each time.
    assert.ok(numbers.length >= 8 && numbers.length <= 14, `${numbers.length} pieces`);
    await bench.clock.settle();
    assert.deepEqual(await bench.store.slots("stream/"), [], "nothing is left of it");
    await bench.close();
  });
}

const [sdk] = sdks as readonly [Sdk, ...Sdk[]];

test("a stream that is begun again is another generation, from its beginning", async () => {
  const bench = testTeam();
  let isDead = false;
  const mortal = new Proxy(bench.store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...rest: unknown[]) =>
        isDead ? new Promise(() => {}) : (Reflect.apply(value, target, rest) as unknown);
    },
  });
  const first = teller(bench, sdk, [{ chunks: ["Once ", "there ", "was "], delayMs: 500 }]);
  const client = await bench.start({ name: "client" });
  await bench.start({ name: "mortal", agents: [first.agent], store: mortal });
  await client.tasks.create(Tell, {}, { id: "t" });
  const seen: StreamPiece[] = [];
  const reading = collect(readStream(client.store, "t/model#1", { clock: bench.clock }), seen);
  await bench.clock.advance(1_300);
  isDead = true;
  assert.equal(seen.map(({ text }) => text).join(""), "Once there ");
  const second = teller(bench, sdk, [{ chunks, delayMs: 50 }]);
  await bench.start({ name: "next", agents: [second.agent] });
  await bench.until(reading);
  assertWhole(seen.filter(({ generation }) => generation === 2));
  assert.deepEqual([...new Set(seen.map(({ generation }) => generation))], [1, 2]);
  await bench.close();
});

test("pieces are short-lived events as well, where that is asked for", async () => {
  const bench = testTeam();
  const options = { stream: { events: true, everyMs: 100 } };
  const { agent } = teller(bench, sdk, [{ chunks, delayMs: 20 }], options);
  const team = await bench.start({ agents: [agent] });
  const heard: StreamPiece[] = [];
  await team.bus.subscribe("agent.stream", ({ payload, metadata, timestamp }) => {
    assert.equal((metadata.expiresAt ?? 0) - timestamp, 60_000);
    heard.push(payload as StreamPiece);
  });
  const task = await team.tasks.create(Tell, {}, { id: "t" });
  await bench.until(task.result());
  await bench.clock.settle();
  assertWhole(heard);
  await bench.close();
});

test("a stream that breaks off is another attempt, and no half of it is a result", async () => {
  const bench = testTeam();
  const half = { chunks: ["Once ", "there "], error: new Error("cut off") };
  const { agent, model } = teller(bench, sdk, [half, { chunks }]);
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Tell, {}, { id: "t" });
  assert.equal(await bench.until(task.result()), story);
  assert.equal((await task.state()).attempt, 2);
  model.assertDone();
  await bench.close();
});

test("a stream that the budget does not allow fails its task by that name", async () => {
  const bench = testTeam();
  const { agent, model } = teller(bench, sdk, [{ chunks }]);
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Tell, {}, { id: "t", budget: { tokens: 10 } });
  await assert.rejects(bench.until(task.result()), /budget of task:t allows 10 tokens/);
  assert.equal((await task.state()).error?.code, "BUDGET_EXHAUSTED");
  assert.equal(model.calls.length, 0);
  await bench.close();
});

test("a reader of a stream that never came is told so", async () => {
  const bench = testTeam();
  const { agent } = teller(bench, sdk, []);
  const team = await bench.start({ agents: [agent] });
  await team.tasks.create(Tell, {}, { id: "t" });
  const reading = collect(readStream(team.store, "t/model#1", { clock: bench.clock }));
  await assert.rejects(bench.until(reading), { code: "WRONG_STATE", message: /is failed/ });
  const stop = new AbortController();
  const waiting = collect(
    readStream(team.store, "never/model#1", { clock: bench.clock, signal: stop.signal }),
  );
  await bench.clock.advance(1_000);
  stop.abort();
  assert.deepEqual(await bench.until(waiting), []);
  await bench.close();
});
