import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryStore, readAnchor, startSealer, VirtualClock, verifyLog } from "cadre";
import type { Anchor, EventStore, InspectedRow } from "cadre";
import { startCadre, defineAgent } from "cadre/agents";
import { SeededRandom } from "#src/core/random.ts";
import { createEvent, type AgentEvent } from "#src/core/event.ts";
import { sealSlot } from "#src/store/seal.ts";
import { changed } from "../changed.ts";

const random = new SeededRandom(7);

function bench() {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const event = (payload: unknown = {}): AgentEvent =>
    createEvent({ clock, random, source: "test" }, "test.noted", payload);
  const add = async (count: number): Promise<void> => {
    await store.commit({ outbox: Array.from({ length: count }, (_, index) => event({ index })) });
  };
  return { clock, store, event, add };
}

/** The store as somebody else left it: some rows are others, or gone. */
function tampered(
  store: EventStore,
  change: (row: InspectedRow) => readonly InspectedRow[],
): EventStore {
  return changed(store, {
    inspect: async function* () {
      for await (const row of store.inspect()) yield* change(row);
    },
  });
}

test("a log without seals is good, and nothing of it is sealed", async () => {
  const { store, add } = bench();
  await add(3);
  const report = await verifyLog(store);
  assert.deepEqual(report, {
    ok: true,
    verifiedTo: 0,
    seals: 0,
    rows: 0,
    removed: 0,
    unsealed: 3,
    anchors: 0,
  });
});

test("full blocks are sealed at once, the rest after its time, and all of it on close", async () => {
  const { clock, store, add } = bench();
  const anchors: Anchor[] = [];
  const onSeal = (anchor: Anchor): void => void anchors.push(anchor);
  const sealer = startSealer({ store, clock, random, blockRows: 4, sealAfterMs: 1_000, onSeal });
  await add(9);
  await clock.settle();
  assert.equal((await readAnchor(store))?.to, 8);
  await clock.advance(1_000);
  assert.equal((await readAnchor(store))?.to, 9);
  await add(2);
  await sealer.close();
  await sealer.close();
  const report = await verifyLog(store, { anchors });
  assert.deepEqual(
    [report.ok, report.verifiedTo, report.seals, report.rows, report.unsealed, report.anchors],
    [true, 11, 4, 11, 0, 4],
  );
  assert.deepEqual(
    anchors.map(({ anchor, to }) => [anchor, to]),
    [
      [1, 4],
      [2, 8],
      [3, 9],
      [4, 11],
    ],
  );
});

test("of two sealers one is active; the other goes on when it is gone", async () => {
  const { clock, store, add } = bench();
  const options = { store, clock, random, blockRows: 4, sealAfterMs: 1_000, leaseMs: 3_000 };
  const one = startSealer(options);
  const two = startSealer(options);
  await add(4);
  await clock.advance(5_000);
  await add(1);
  await one.close();
  await clock.advance(5_000);
  await add(6);
  await clock.advance(5_000);
  await two.close();
  const report = await verifyLog(store);
  assert.deepEqual([report.ok, report.verifiedTo, report.unsealed], [true, 11, 0]);
});

test("after a crash between two seals another sealer goes on where the chain ends", async () => {
  const { clock, store, add } = bench();
  let isGone = false;
  const failing: EventStore = new Proxy(store, {
    get(target, name) {
      if (name === "commit" && isGone) return () => new Promise(() => {}); // nothing comes back
      const member: unknown = Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  const options = { clock, random, blockRows: 4, sealAfterMs: 1_000, leaseMs: 3_000 };
  startSealer({ ...options, store: failing });
  await add(6);
  await clock.advance(500);
  isGone = true;
  const other = startSealer({ ...options, store });
  await clock.advance(1_500);
  assert.equal((await readAnchor(store))?.to, 4);
  await add(3);
  await clock.advance(10_000);
  await other.close();
  const report = await verifyLog(store);
  assert.deepEqual([report.ok, report.verifiedTo, report.seals, report.rows], [true, 9, 3, 9]);
});

test("a sealer that cannot write says why, and goes on when it can", async () => {
  const { clock, store, add } = bench();
  let isFull = true;
  const troubled: EventStore = new Proxy(store, {
    get(target, name) {
      if (name === "commit" && isFull) return () => Promise.reject(new Error("the disk is full"));
      const member: unknown = Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  const sealer = startSealer({ store: troubled, clock, random, sealAfterMs: 1_000 });
  await add(3);
  await clock.advance(2_000);
  assert.match(String(sealer.error), /disk is full/);
  isFull = false;
  await clock.advance(2_000);
  assert.equal(sealer.error, undefined);
  assert.equal(sealer.sealed?.to, 3);
  await sealer.close();
});

test("the report says what happened to the first bad row", async () => {
  const { clock, store, add, event } = bench();
  await add(10);
  const sealer = startSealer({ store, clock, random, blockRows: 4 });
  await sealer.close();
  const cases: readonly [string, number, RegExp, (row: InspectedRow) => readonly InspectedRow[]][] =
    [
      [
        "changed",
        3,
        /changed/,
        (row) =>
          row.position < 3 ? [row] : [{ ...row, stored: { ...row.stored!, event: event() } }],
      ],
      [
        "changed",
        7,
        /no JSON/,
        (row) => (row.position < 7 ? [row] : [{ position: row.position, fault: "is no JSON" }]),
      ],
      ["removed", 5, /removed/, (row) => (row.position === 5 ? [] : [row])],
      ["cut", 6, /cut: it ends before position 6/, (row) => (row.position > 5 ? [] : [row])],
      [
        "inserted",
        -2,
        /inserted/,
        (row) => (row.position === 1 ? [{ ...row, position: -2 }, row] : [row]),
      ],
    ];
  for (const [kind, position, message, change] of cases) {
    const { ok, problem, verifiedTo } = await verifyLog(tampered(store, change));
    assert.deepEqual([ok, problem?.kind, problem?.position], [false, kind, position]);
    assert.match(problem!.message, message);
    assert.ok(verifiedTo < position || position < 0);
  }
});

test("a row in another's place is said to be moved", async () => {
  const { clock, store, add } = bench();
  await add(6);
  await startSealer({ store, clock, random }).close();
  const rows: InspectedRow[] = [];
  for await (const row of store.inspect()) rows.push(row);
  const swap = new Map([
    [2, 5],
    [5, 2],
  ]);
  const swapped = tampered(store, (row) => {
    const other = rows[(swap.get(row.position) ?? row.position) - 1]!;
    return [{ position: row.position, stored: { ...other.stored!, position: row.position } }];
  });
  const { problem } = await verifyLog(swapped);
  assert.deepEqual([problem?.kind, problem?.position], ["moved", 2]);
  assert.match(problem!.message, /row of position 5/);
});

test("a changed, missing or surplus seal breaks the chain at its own place", async () => {
  for (const [what, from, change] of [
    ["was changed", 5, (value: string) => value.replace(/"sealedAt":\d/, '"sealedAt":9')],
    ["cannot be read", 5, () => "{}"],
    ["is missing", 5, () => undefined],
  ] as const) {
    const { clock, store, add } = bench();
    await add(12);
    await startSealer({ store, clock, random, blockRows: 4 }).close();
    const name = sealSlot(2);
    const value = change((await store.slot(name))!.value);
    await store.commit({ slots: [{ name, expectedVersion: "any", value }] });
    const { ok, problem } = await verifyLog(store);
    assert.deepEqual(
      [ok, problem?.kind, problem?.position, problem?.seal],
      [false, "seal", from, 2],
    );
    assert.match(problem!.message, new RegExp(what));
  }
  const { clock, store, add } = bench();
  await add(4);
  await startSealer({ store, clock, random }).close();
  await store.commit({ slots: [{ name: sealSlot(2), expectedVersion: 0, value: "{}" }] });
  assert.equal((await verifyLog(store)).problem?.kind, "seal");
});

test("a log that was written and sealed anew is found by an anchor alone", async () => {
  const first = bench();
  await first.add(8);
  await startSealer({ store: first.store, clock: first.clock, random, blockRows: 4 }).close();
  const anchor = (await readAnchor(first.store))!;
  const forged = bench();
  await forged.add(8);
  await startSealer({ store: forged.store, clock: forged.clock, random, blockRows: 4 }).close();
  assert.equal((await verifyLog(forged.store)).ok, true);
  const { ok, problem } = await verifyLog(forged.store, { anchors: [anchor] });
  assert.deepEqual([ok, problem?.kind, problem?.position], [false, "seal", 5]);
  assert.match(problem!.message, /not the one that was anchored/);
});

test("an anchor finds that rows and seals were cut; the place is where the log ends", async () => {
  const { clock, store, add } = bench();
  await add(4);
  await startSealer({ store, clock, random }).close();
  const anchor = { anchor: 2, to: 9, hash: "0".repeat(64) };
  const { problem } = await verifyLog(store, { anchors: [anchor] });
  assert.deepEqual([problem?.kind, problem?.position], ["cut", 5]);
  await add(7);
  const missing = await verifyLog(store, { anchors: [anchor] });
  assert.deepEqual([missing.problem?.kind, missing.problem?.position], ["seal", 5]);
});

test("a team that closes leaves nothing unsealed", async () => {
  const clock = new VirtualClock();
  const store = memoryStore({ clock });
  const agent = defineAgent({ name: "agent" });
  const team = await startCadre({ agents: [agent], store, clock, random, audit: true });
  await store.commit({
    outbox: [createEvent({ clock, random, source: "test" }, "test.noted", {})],
  });
  const closing = team.close();
  await clock.advance(1_000);
  await closing;
  const report = await verifyLog(store);
  assert.deepEqual([report.ok, report.unsealed], [true, 0]);
  assert.ok(report.rows >= 1);
});
