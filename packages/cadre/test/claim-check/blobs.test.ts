import assert from "node:assert/strict";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  claimCheckStore,
  claimCheckTransport,
  createBus,
  createEvent,
  folderBlobs,
  memoryStore,
  secureRandom,
  storeBlobs,
  sweepBlobs,
  systemClock,
  VirtualClock,
  type AgentEvent,
  type BlobInfo,
  type BlobStore,
  type Bus,
  type DeadLetter,
  type StoredEvent,
} from "cadre";
import { sqlite } from "cadre/sqlite";
import { temporaryFolder } from "../drivers/sqlite/temporary-file.ts";

const text = `"${"a".repeat(300_000)}${"😀".repeat(262_144)}é"`;
const context = { clock: systemClock, random: secureRandom, source: "test" };

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const stores: Readonly<Record<string, (clock: VirtualClock) => BlobStore>> = {
  "in a folder": (clock) => folderBlobs(join(temporaryFolder(), "blobs"), { clock }),
  "in a store": (clock) => storeBlobs(memoryStore({ clock }), { clock }),
};
for (const [place, open] of Object.entries(stores)) {
  test(`a blob ${place} comes back as it was put, and twice put is once there`, async () => {
    const blobs = open(new VirtualClock(1_000_000));
    const name = await blobs.put(text);
    assert.equal(await blobs.put(text), name);
    const [found, other] = await Promise.all([blobs.put(text), blobs.put("null")]);
    assert.equal(found, name);
    assert.equal(await blobs.get(name), text);
    assert.equal(await blobs.get(other), "null");
    assert.equal(await blobs.get(`${name.slice(0, -1)}x`), undefined);
    const listed = (await all(blobs.list())).find((blob) => blob.name === name);
    assert.equal(listed?.bytes, Buffer.byteLength(text));
  });

  test(`a blob ${place} that was put again is not removed by who listed it before`, async () => {
    const clock = new VirtualClock(1_000_000);
    const blobs = open(clock);
    await blobs.put("1");
    const [before] = (await all(blobs.list())) as [BlobInfo];
    await clock.advance(3_600_000);
    await blobs.put("1");
    assert.equal(await blobs.remove(before), false);
    const [after] = (await all(blobs.list())) as [BlobInfo];
    assert.equal(await blobs.remove(after), true);
    assert.equal(await blobs.remove(after), false);
    assert.equal(await blobs.get(after.name), undefined);
    assert.deepEqual(await all(blobs.list()), []);
  });
}

test("a file of the folder that was changed is BLOB_CORRUPT, a folder that is not there empty", async () => {
  const folder = temporaryFolder();
  const blobs = folderBlobs(folder);
  const name = await blobs.put(text);
  const [file] = (await readdir(folder, { recursive: true })).filter((path) =>
    path.endsWith("json"),
  );
  const path = join(folder, file!);
  await writeFile(path, (await readFile(path, "utf8")).replace("é", "e"));
  await assert.rejects(blobs.get(name), { code: "BLOB_CORRUPT" });
  assert.deepEqual(await all(folderBlobs(join(folder, "none")).list()), []);
});

test("only large payloads are kept apart, and other extensions stay", async () => {
  const inner = memoryStore();
  const store = claimCheckStore(inner, { blobs: storeBlobs(inner), overBytes: 1_000 });
  const extensions = { region: "north" };
  const small = createEvent(context, "a.b", { note: "x".repeat(900) }, { extensions });
  const large = createEvent(context, "a.b", { note: "é".repeat(600) }, { extensions });
  await store.commit({ outbox: [small, large] });
  const raw = (await all(inner.read())).map(({ event }) => event);
  assert.deepEqual(raw[0], small);
  const { payload, metadata } = raw[1]!;
  const dataref = metadata.extensions?.["dataref"];
  assert.match(dataref as string, /^cadre-blob:sha256-[0-9a-f]{64}$/);
  assert.deepEqual(payload, { dataref, bytes: 1_211 });
  assert.equal(metadata.extensions?.["region"], "north");
  assert.deepEqual(
    (await all(store.read())).map(({ event }) => event),
    [small, large],
  );
  // Committed again after it was read, it is the same event.
  const [, again] = await all(store.read());
  assert.equal((await store.commit({ outbox: [again!.event] })).duplicate, true);
});

test("a reader meets a missing blob when it looks, and reads on", async () => {
  const folder = temporaryFolder();
  const store = claimCheckStore(memoryStore(), { blobs: folderBlobs(folder), overBytes: 10 });
  const events = [1, 2].map((n) => createEvent(context, "a.b", { note: `${n}`.repeat(20) }));
  await store.commit({ outbox: events });
  await rm(folder, { recursive: true });
  const read: StoredEvent[] = await all(store.read());
  assert.deepEqual(
    read.map(({ event }) => event.id),
    events.map(({ id }) => id),
  );
  assert.throws(() => read[0]!.event.payload, { code: "BLOB_MISSING" });
});

test("a delivery without its blob is a dead letter, redriven when the blob is back", async () => {
  const folder = join(temporaryFolder(), "blobs");
  const transport = claimCheckTransport(sqlite(join(folder, "../log.db")), {
    blobs: folderBlobs(folder),
    overBytes: 10,
  });
  await using bus = createBus({ transport });
  const handled = Promise.withResolvers<AgentEvent>();
  const subscription = await bus.subscribe("a.*", { group: "g" }, handled.resolve);
  subscription.pause();
  const payload = { note: "a payload that is large here" };
  await bus.publish("a.b", payload);
  await rename(folder, `${folder}-away`);
  subscription.resume();
  const letter = await firstLetter(bus);
  assert.equal(letter.reason, "undecodable");
  assert.match(letter.error.message, /cannot be had: .*blob store has none of that name/);
  assert.throws(() => letter.event?.payload, { code: "BLOB_MISSING" });
  await assert.rejects(bus.deadLetters.redrive(letter.id), { code: "BLOB_MISSING" });
  await rm(folder, { recursive: true, force: true });
  await rename(`${folder}-away`, folder);
  assert.equal(await bus.deadLetters.redrive(letter.id), true);
  const { payload: found, metadata } = await handled.promise;
  assert.deepEqual(found, payload);
  assert.equal(metadata.extensions, undefined);
});

async function firstLetter(bus: Bus): Promise<DeadLetter> {
  for (let look = 0; look < 500; look += 1) {
    for await (const letter of bus.deadLetters.list()) return letter;
    await systemClock.sleep(10);
  }
  assert.fail("no dead letter came within 5 s");
}

test("blobs that no event needs are swept, young ones and those of dead letters stay", async () => {
  const clock = new VirtualClock(1_000_000);
  const inner = memoryStore({ clock });
  const blobs = storeBlobs(inner, { clock });
  const store = claimCheckStore(inner, { blobs, overBytes: 10 });
  const [kept, letter] = ["kept in the log", "a dead letter's"].map((note) =>
    createEvent({ ...context, clock }, "a.b", { note }),
  ) as [AgentEvent, AgentEvent];
  await store.commit({ outbox: [kept, letter] });
  await blobs.put('"of nobody"');
  await clock.advance(90_000_000);
  await blobs.put('"young"');
  const raw = (await all(inner.read())).map(({ event }) => event);
  const swept = await sweepBlobs({ store: inner, blobs, clock, alsoUsedBy: raw.slice(1) });
  assert.deepEqual(swept, { removed: 1, removedBytes: 11, kept: 3 });
  assert.deepEqual(await sweepBlobs({ store: inner, blobs, clock }), {
    removed: 0,
    removedBytes: 0,
    kept: 3,
  });
  await assert.rejects(sweepBlobs({ store: inner, blobs, olderThanMs: 5 }), {
    code: "INVALID_OPTION",
  });
});
