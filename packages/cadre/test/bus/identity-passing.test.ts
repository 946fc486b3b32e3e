import assert from "node:assert/strict";
import { test } from "node:test";
import { signEvent, type AgentEvent } from "cadre";
import { claimCheckTransport } from "#src/bus/claim-check-transport.ts";
import type { Transport } from "#src/bus/transport.ts";
import { forger, reader, trusted, world, writer } from "./signed-world.ts";

test("requests and replies are signed and checked like all events", async (context) => {
  const { bus, transport, clock, make } = await world(context);
  const asking = bus({ identity: reader, source: "reader", signatures: { trusted } });
  const answering = bus({ identity: writer, source: "writer", signatures: { trusted } });
  let forge: AgentEvent | undefined;
  await answering.respond("news.ask", async (event) => {
    // A reply of somebody else gets there first, and is not taken for the answer.
    const { replyTo = "" } = event.metadata;
    const reply = make(replyTo, { answer: "false" }, { cause: event, target: replyTo.slice(6) });
    forge = signEvent(reply, forger);
    await transport.publish([{ event: forge }]);
    return { answer: "true" };
  });
  const asked = asking.request("news.ask", {});
  await clock.advance(10);
  assert.ok(forge);
  assert.deepEqual((await asked).payload, { answer: "true" });
});

test("what middleware changes on the way out is signed as it goes out", async (context) => {
  const { bus, seen, violations, clock } = await world(context);
  const writing = bus({ identity: writer, source: "writer" });
  writing.usePublish((event, next) => next({ ...event, payload: { changed: true } }));
  await writing.publish("news.today", { changed: false });
  await clock.advance(1);
  assert.deepEqual(seen[0]?.payload, { changed: true });
  assert.equal(violations.length, 0);
});

test("what a handler publishes, and what is held back for its success, is signed", async (context) => {
  const { bus, seen, violations, clock, raw, make } = await world(context, "group");
  const writing = bus({ identity: writer, source: "writer", signatures: { trusted } });
  await writing.subscribe("first", { group: "w" }, async (_event, delivery) => {
    await delivery.publish("news.held", {});
    await delivery.publish("news.now", {}, { isolated: true });
  });
  await raw(signEvent(make("first", {}), writer));
  await clock.advance(10);
  assert.deepEqual(seen.map(({ type }) => type).sort(), ["news.held", "news.now"]);
  assert.equal(violations.length, 0);
});

test("a finished event is published as it is: what comes by here unsigned stays so", async (context) => {
  const { bus, seen, make, clock } = await world(context);
  const writing = bus({ identity: writer, source: "writer" });
  await writing.publishEvent(make("news.today", { n: 1 }));
  await writing.publishEvent(signEvent(make("news.today", { n: 2 }), writer));
  await clock.advance(1);
  assert.deepEqual(
    seen.map(({ payload }) => payload),
    [{ n: 2 }],
  );
});

test("a dead letter is redriven with its signature; edited, it is the editor's word", async (context) => {
  const { bus, raw, make, clock } = await world(context);
  const editing = bus({ identity: reader, source: "reader", signatures: { trusted } });
  const handled: AgentEvent[] = [];
  let fails = true;
  const options = { group: "g", retry: { maxAttempts: 1 } };
  await editing.subscribe("news.today", options, (event) => {
    if (fails) throw new Error("not yet");
    handled.push(event);
  });
  await raw(signEvent(make("news.today", { n: 1 }), writer));
  await clock.advance(10);
  const [letter] = await Array.fromAsync(editing.deadLetters.list());
  assert.equal(letter?.reason, "attempts");
  assert.equal(await editing.deadLetters.redrive(letter.id), true);
  await clock.advance(10);
  const [again] = await Array.fromAsync(editing.deadLetters.list());
  assert.equal(again?.reason, "attempts"); // let in, and failed for the same reason
  fails = false;
  assert.equal(await editing.deadLetters.redrive(again.id, { payload: { n: 2 } }), true);
  await clock.advance(10);
  assert.equal(handled.length, 1);
  const [edited] = handled;
  assert.equal(edited?.source, "reader");
  assert.equal(edited?.metadata.replayOf, letter.event?.id);
  assert.deepEqual(edited?.payload, { n: 2 });
});

test("redriving a rejected letter does not launder it", async (context) => {
  const { raw, make, bus, clock } = await world(context);
  const operator = bus({ identity: writer, source: "writer", signatures: { trusted } });
  const seen: AgentEvent[] = [];
  await operator.subscribe("news.#", { group: "g" }, (event) => void seen.push(event));
  await raw(make("news.today", {}));
  await clock.advance(10);
  const [letter] = await Array.fromAsync(operator.deadLetters.list());
  assert.equal(await operator.deadLetters.redrive(letter!.id), true);
  await clock.advance(10);
  const [again] = await Array.fromAsync(operator.deadLetters.list());
  assert.equal(again?.reason, "rejected");
  assert.deepEqual(seen, []);
});

test("history and replay pass over what would not be let in; a republish is its publisher's", async (context) => {
  const { raw, make, bus, clock, seen } = await world(context);
  const reading = bus({ identity: reader, source: "reader", signatures: { trusted } });
  await raw(signEvent(make("news.today", { n: 1 }), writer));
  await raw(signEvent(make("news.today", { n: 2 }), forger));
  const past = await Array.fromAsync(reading.history({ type: "news.#" }));
  assert.equal(past.length, 1);
  const replayed: AgentEvent[] = [];
  const to = (event: AgentEvent): void => void replayed.push(event);
  assert.equal(await reading.replay({ type: "news.#" }, { to }), 1);
  assert.equal(replayed[0]?.metadata.replayOf, past[0]?.id);
  assert.equal(await reading.republish({ type: "news.#" }), 1);
  await clock.advance(1);
  assert.equal(seen.length, 2);
  assert.equal(seen[1]?.source, "reader");
  assert.equal(seen[1]?.metadata.replayOf, past[0]?.id);
});

test("a payload kept apart is signed as it is and checked when it is back", async (context) => {
  const blobs = memoryBlobs();
  const wrap = (transport: Transport): Transport =>
    claimCheckTransport(transport, { blobs, overBytes: 800 });
  const { bus, seen, clock, violations } = await world(context, "group", {}, wrap);
  const writing = bus({ identity: writer, source: "writer" });
  await writing.publish("news.today", { text: "x".repeat(1_000) });
  await clock.advance(10);
  assert.equal((seen[0]!.payload as { text: string }).text.length, 1_000);
  // Whoever can write to the blobs cannot write what was said.
  blobs.lies = JSON.stringify({ text: "z".repeat(1_000) });
  await writing.publish("news.today", { text: "y".repeat(1_000) });
  await clock.advance(10);
  assert.equal(seen.length, 1);
  const rules = violations.map(({ payload }) => (payload as { rule: string }).rule);
  assert.deepEqual(rules, ["altered"]);
});

function memoryBlobs(): Parameters<typeof claimCheckTransport>[1]["blobs"] & {
  lies?: string;
} {
  const texts = new Map<string, string>();
  const blobs: ReturnType<typeof memoryBlobs> = {
    put: (text) => {
      const name = `blob-${texts.size}`;
      texts.set(name, blobs.lies ?? text);
      return Promise.resolve(name);
    },
    get: (name) => Promise.resolve(texts.get(name)),
    list: async function* () {},
    remove: ({ name }) => Promise.resolve(texts.delete(name)),
  };
  return blobs;
}
