/** Streams that break off, are cancelled, or are gone on with by two processes at once. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { memoryStore, type } from "cadre";
import {
  defineAgent,
  defineTask,
  readStream,
  type LanguageModel,
  type StreamPiece,
} from "cadre/agents";
import { scriptedModel, testTeam, VirtualClock, type TestTeam } from "cadre/testing";
import { StreamPieces, type PiecesPort } from "#src/agents/models/stream-pieces.ts";

const Tell = defineTask({ name: "tell", output: type<string>(), maxAttempts: 3 });

interface Streamed {
  readonly stream: ReadableStream<{ readonly type: string; readonly delta?: string }>;
}

/** An agent that reads its model's stream to its end. */
function teller(model: LanguageModel) {
  return defineAgent({ name: "teller" }).does(Tell, async (_input, ctx) => {
    const asked = { prompt: [] } as never;
    const { stream } = (await ctx.model(model).doStream(asked)) as Streamed;
    let text = "";
    for await (const part of stream) if (part.type === "text-delta") text += part.delta;
    return text;
  });
}

async function collect(pieces: AsyncIterable<StreamPiece>, into: StreamPiece[] = []) {
  for await (const piece of pieces) into.push(piece);
  return into;
}

const read = (bench: TestTeam) => readStream(bench.store, "t/model#1", { clock: bench.clock });

test("a stream that broke off and is begun again has another generation", async () => {
  const bench = testTeam();
  const model = scriptedModel(
    [
      { chunks: ["Once ", "upon "], error: new Error("cut off"), delayMs: 300 },
      { chunks: ["There ", "was ", "a ", "king."], delayMs: 300 },
    ],
    { clock: bench.clock },
  );
  const team = await bench.start({ agents: [teller(model)] });
  const seen: StreamPiece[] = [];
  const reading = collect(read(bench), seen);
  const task = await team.tasks.create(Tell, {}, { id: "t" });
  await bench.clock.advance(1_000);
  assert.equal(seen.map(({ text }) => text).join(""), "Once upon ");
  assert.equal(await bench.until(task.result()), "There was a king.");
  await bench.until(reading);
  assert.deepEqual([...new Set(seen.map(({ generation }) => generation))], [1, 2]);
  const second = seen.filter(({ generation }) => generation === 2);
  assert.equal(second.map(({ text }) => text).join(""), "There was a king.");
  await bench.clock.settle();
  assert.deepEqual(await bench.store.slots("stream/"), []);
  await bench.close();
});

test("a provider that goes on when its call is stopped leaves no pieces", async () => {
  const bench = testTeam();
  let isHeard = false;
  const deaf: LanguageModel = {
    ...scriptedModel([]),
    doStream: async () => {
      let left = 40;
      const stream = new ReadableStream({
        pull: async (controller) => {
          await bench.clock.sleep(100);
          left -= 1;
          if (left > 0) controller.enqueue({ type: "text-delta", id: "1", delta: "more " });
          else controller.close();
        },
        cancel: () => void (isHeard = true),
      });
      return { stream };
    },
  };
  const team = await bench.start({ agents: [teller(deaf)] });
  const task = await team.tasks.create(Tell, {}, { id: "t" });
  await bench.clock.advance(1_000);
  assert.notDeepEqual(await bench.store.slots("stream/"), []);
  await task.cancel("enough");
  await assert.rejects(bench.until(task.result()), /enough/);
  await bench.clock.advance(20_000);
  assert.deepEqual(await bench.store.slots("stream/"), []);
  assert.ok(isHeard, "its stream was cancelled");
  await bench.close();
});

test("a process that dies behind the receipt leaves pieces that the next attempt removes", async () => {
  const bench = testTeam();
  let isDead = false;
  const mortal = new Proxy(bench.store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return async (...rest: unknown[]) => {
        const [work] = rest as [{ appends?: readonly { stream: string; events: unknown }[] }];
        if (isDead) return new Promise(() => {});
        const result: unknown = await Reflect.apply(value, target, rest);
        const written = name === "commit" ? JSON.stringify(work.appends ?? []) : "";
        // The receipt is there, and nothing of what follows it.
        isDead ||= written.includes('"step.receipt"');
        return isDead ? new Promise(() => {}) : result;
      };
    },
  });
  // Reading is a generator, which must not be wrapped in a promise.
  const store = new Proxy(mortal, {
    get: (target, name) =>
      name === "read" || name === "watch" || name === "inspect"
        ? (Reflect.get(bench.store, name) as () => unknown).bind(bench.store)
        : (Reflect.get(target, name) as unknown),
  });
  const replies = [{ chunks: ["a ", "b ", "c "], delayMs: 300 }];
  const model = scriptedModel(replies, { clock: bench.clock });
  const client = await bench.start({ name: "client" });
  await bench.start({ name: "mortal", agents: [teller(model)], store });
  const task = await client.tasks.create(Tell, {}, { id: "t" });
  await bench.clock.advance(2_000);
  assert.ok(isDead);
  assert.notDeepEqual(await bench.store.slots("stream/"), []);
  await bench.start({ name: "next", agents: [teller(model)] });
  assert.equal(await bench.until(task.result()), "a b c ");
  await bench.clock.settle();
  assert.deepEqual(await bench.store.slots("stream/"), []);
  await bench.close();
});

test("of two that write one stream the later one is read, and the earlier can't disturb it", async () => {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const warnings: unknown[] = [];
  const logger = { warn: (said: unknown) => void warnings.push(said) };
  const context = { store, clock, logger, sameLog: true };
  const port = { context, agent: "a", task: "t" } as unknown as PiecesPort;
  const made = (): StreamPieces => new StreamPieces(port, "t/model#1", {});
  const [old, next] = [made(), made()];
  await old.begin();
  // The first one has frozen before it wrote a word.
  await next.begin();
  assert.deepEqual([old.generation, next.generation], [1, 2]);
  const seen: StreamPiece[] = [];
  const stop = new AbortController();
  const options = { clock, signal: stop.signal };
  const reading = collect(readStream(store, "t/model#1", options), seen);
  next.add("Once upon ");
  await clock.advance(500);
  old.add("Far away and long ago ");
  await clock.advance(500);
  next.add("a time");
  await clock.advance(500);
  await old.end("failed");
  await clock.advance(500);
  next.add(".");
  await clock.advance(500);
  assert.equal(seen.map(({ text }) => text).join(""), "Once upon a time.");
  assert.ok(seen.every(({ generation }) => generation === 2));
  await next.end("recorded");
  assert.deepEqual(await store.slots("stream/"), []);
  old.add("and more");
  await clock.advance(500);
  assert.deepEqual(await store.slots("stream/"), []);
  stop.abort();
  await clock.advance(500);
  await reading;
});

test("a reader does not read the journal for every write of a busy store", async () => {
  const bench = testTeam();
  const chunks = Array.from({ length: 20 }, (_, index) => `word ${index} `);
  const model = scriptedModel([{ chunks, delayMs: 100 }], { clock: bench.clock });
  const team = await bench.start({ agents: [teller(model)] });
  let reads = 0;
  const store = new Proxy(bench.store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...rest: unknown[]) => {
        if (name === "read" || name === "slots") reads += 1;
        return Reflect.apply(value, target, rest) as unknown;
      };
    },
  });
  const reading = collect(readStream(store, "t/model#1", { clock: bench.clock }));
  const task = await team.tasks.create(Tell, {}, { id: "t" });
  for (let write = 0; write < 500; write += 1) {
    const value = String(write);
    await bench.store.commit({ slots: [{ name: "busy", expectedVersion: "any", value }] });
    await bench.clock.advance(5);
  }
  await bench.until(task.result());
  const text = (await bench.until(reading)).map((piece) => piece.text).join("");
  assert.equal(text, chunks.join(""));
  assert.ok(reads < 100, `${reads} reads`);
  await bench.close();
});

test("a run that could not begin its pieces is no run that somebody has read", async () => {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const context = { store, clock, logger: { warn: () => undefined }, sameLog: true };
  const port = { context, agent: "a", task: "t" } as unknown as PiecesPort;
  const [first, second] = [1, 2].map(() => new StreamPieces(port, "t/model#1", {}));
  // Both have read the head before either has written it.
  await Promise.all([first?.begin(), second?.begin()]);
  const generations = [first?.generation, second?.generation];
  assert.deepEqual(
    generations.toSorted((one = 0, other = 0) => one - other),
    [0, 1],
  );
});

test("half a text is no result, also where the handler was not told that it broke off", async () => {
  const bench = testTeam();
  const model = scriptedModel([
    { chunks: ["half "], error: new Error("cut off") },
    { chunks: ["all ", "of it"] },
  ]);
  const agent = defineAgent({ name: "teller" }).does(Tell, async (_input, ctx) => {
    const { stream } = (await ctx.model(model).doStream({ prompt: [] })) as Streamed;
    let text = "";
    try {
      for await (const part of stream) if (part.type === "text-delta") text += part.delta;
    } catch {
      // As the SDK does, which then gives what there was before.
    }
    return text;
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Tell, {});
  assert.equal(await bench.until(task.result()), "all of it");
  await bench.close();
});
