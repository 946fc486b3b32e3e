/**
 * Random single changes to the file of a sealed log, each with the place where an audit must find
 * it.
 */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import type { EventStore } from "#src/store/event-store.ts";
import { startSealer } from "#src/store/sealer.ts";
import type { Anchor } from "#src/store/seal.ts";
import { readAnchor } from "#src/store/seal.ts";
import { createEvent, type AgentEvent, type EventOptions } from "#src/core/event.ts";
import { systemClock } from "#src/core/clock.ts";
import type { Random } from "#src/core/random.ts";
import { openSqlite } from "cadre/sqlite";

export interface Tampered {
  /** What was done, for the message of a failure. */
  readonly what: string;
  /** The first place that is not as it was sealed. */
  readonly position: number;
  readonly kinds: readonly string[];
}

const payloads: readonly unknown[] = [
  {},
  null,
  "text",
  3.25,
  { text: "line\nbreak \u{1f5c4}", list: [1, { deep: null }] },
  { amount: 1e21, name: "ключ" },
  [0, -1, "0"],
];

function optionsOf(random: Random): EventOptions {
  switch (random.integer(5)) {
    case 0:
      return { key: `key ${random.integer(3)}`, priority: "high" };
    case 1:
      return { deliverAt: 1_700_000_000_000 + random.integer(1_000), version: "2.1.0" };
    case 2:
      return { tenant: "t", extensions: { a: [1, 2], "": null }, target: "agent" };
    default:
      return {};
  }
}

/** Fills a store with `count` events of all kinds, some with gaps before them. */
export async function fillLog(store: EventStore, random: Random, count: number): Promise<void> {
  const context = { clock: systemClock, random, source: "test" };
  const make = (cause?: AgentEvent): AgentEvent => {
    const payload = payloads[random.integer(payloads.length)];
    const options = { ...optionsOf(random), ...(cause ? { cause } : {}) };
    const id = random.integer(10) === 0 ? { id: `plain-${random.id(systemClock.now())}` } : {};
    return createEvent(context, random.integer(2) === 0 ? "a.noted" : "b.noted", payload, {
      ...options,
      ...id,
    });
  };
  let cause: AgentEvent | undefined;
  for (let made = 0; made < count; made += 4) {
    const [one, two, three] = [make(cause), make(cause), make()];
    cause = one;
    const stream = `s/${random.integer(5)}`;
    await store.commit({
      appends: [
        { stream, expectedVersion: "any", events: [one, two], private: random.integer(3) === 0 },
      ],
      outbox: [three],
    });
    if (random.integer(3) > 0) continue;
    const position = (await store.head()) + 1 + random.integer(3);
    const recordedAt = Math.max(systemClock.now(), await lastRecordedAt(store));
    await store.restore([{ position, event: make(two), directed: true, recordedAt }]);
  }
}

async function lastRecordedAt(store: EventStore): Promise<number> {
  for await (const row of store.read({ backward: true, limit: 1 })) return row.recordedAt;
  return 0;
}

/** A log in the file at `path`, sealed to its end. */
export async function makeSealedLog(
  path: string,
  random: Random,
  count: number,
): Promise<readonly Anchor[]> {
  const log = await openSqlite(path, { durability: "process" });
  const anchors: Anchor[] = [];
  await fillLog(log.store, random, count);
  const onSeal = (anchor: Anchor): void => void anchors.push(anchor);
  const sealer = startSealer({ store: log.store, blockRows: 16, onSeal });
  await sealer.close();
  anchors.push((await readAnchor(log.store))!);
  await log.close();
  return anchors;
}

const columns = [
  "position",
  "id",
  "type",
  "source",
  "timestamp",
  "recorded_at",
  "correlation",
  "causation",
  "stream",
  "version",
  "flags",
  "key",
  "rank",
  "deliver_at",
  "schema",
  "extra",
  "payload",
] as const;

/** Makes one change to the file. */
export function tamper(path: string, random: Random): Tampered {
  const db = new DatabaseSync(path);
  try {
    for (;;) {
      const tampered = attempt(db, random);
      if (tampered) return tampered;
    }
  } finally {
    db.close();
  }
}

function attempt(db: DatabaseSync, random: Random): Tampered | undefined {
  const places = db
    .prepare("SELECT position FROM events ORDER BY position")
    .all()
    .map(({ position }) => Number(position));
  const index = random.integer(places.length);
  const position = places[index]!;
  switch (random.integer(8)) {
    case 0:
      db.prepare("DELETE FROM events WHERE position = ?").run(position);
      return { what: `row ${position} removed`, position, kinds: ["removed", "cut"] };
    case 1:
      return insert(db, random, places);
    case 2:
      return swap(db, random, places);
    case 3:
      db.prepare("DELETE FROM events WHERE position >= ?").run(position);
      return { what: `cut at ${position}`, position, kinds: ["cut"] };
    case 4:
      return cutWithSeals(db, places, index);
    default:
      return change(db, random, position);
  }
}

function change(db: DatabaseSync, random: Random, position: number): Tampered | undefined {
  const column = columns[random.integer(columns.length)]!;
  const read = (): string => {
    const text = `SELECT typeof(${column}) || quote(${column}) AS cell FROM events WHERE position = ?`;
    return String(db.prepare(text).get(position)?.["cell"]);
  };
  const before = read();
  const value = otherValue(db, column, position, random);
  try {
    db.prepare(`UPDATE events SET ${column} = ? WHERE position = ?`).run(value, position);
  } catch {
    return undefined; // the file's own rules forbid it
  }
  const moved = column === "position";
  if (!moved && read() === before) return undefined;
  const first = moved ? Math.min(position, Number(value)) : position;
  if (moved && Number(value) === position) return undefined;
  const what = `${column} of ${position}: ${before} → ${textOf(value)}`;
  const kinds = moved ? ["removed", "inserted", "cut"] : ["changed", "moved"];
  return { what, position: first, kinds };
}

/** Null, the cell of another row, or a small change to the cell itself, also of its type. */
function otherValue(
  db: DatabaseSync,
  column: string,
  position: number,
  random: Random,
): SQLInputValue {
  const cellAt = (place: number): SQLInputValue => {
    const row = db.prepare(`SELECT ${column} AS cell FROM events WHERE position = ?`).get(place);
    return row?.["cell"] ?? null;
  };
  const own = cellAt(position);
  switch (random.integer(6)) {
    case 0:
      return null;
    case 1: {
      const row = db.prepare("SELECT position FROM events ORDER BY random() LIMIT 1").get();
      return cellAt(Number(row?.["position"]));
    }
    case 2:
      return Buffer.from(textOf(own));
    case 3:
      return random.integer(40) - 3;
    case 4:
      if (own instanceof Uint8Array) return uuidOf(own);
      return typeof own === "number" ? own + 1 : ` ${textOf(own)}`;
    default:
      if (typeof own === "number") return own + 0.5;
      if (!(own instanceof Uint8Array)) return `${textOf(own)}x`;
      return own.map((byte, index) => (index === 7 ? byte ^ 1 : byte));
  }
}

function textOf(value: SQLInputValue): string {
  return ArrayBuffer.isView(value)
    ? Buffer.from(value as Uint8Array).toString("hex")
    : String(value);
}

/** The same id as text: what is read from it is no other. */
function uuidOf(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function insert(db: DatabaseSync, random: Random, places: readonly number[]): Tampered | undefined {
  const last = places.at(-1)!;
  const place = random.integer(last + 4) - 3;
  if (places.includes(place)) {
    // Between two rows: those behind it make room.
    const far = 1_000_000;
    db.prepare(`UPDATE events SET position = position + ${far} WHERE position >= ?`).run(place);
    db.prepare(`UPDATE events SET position = position - ${far - 1} WHERE position > ?`).run(far);
  }
  const copied = columns.filter((column) => column !== "position" && column !== "id").join(", ");
  db.prepare(
    `INSERT INTO events (position, id, ${copied})
     SELECT ?, ?, ${copied} FROM events ORDER BY random() LIMIT 1`,
  ).run(place, `inserted-${random.integer(1e9)}`);
  return { what: `a row inserted at ${place}`, position: place, kinds: ["inserted", "changed"] };
}

function swap(db: DatabaseSync, random: Random, places: readonly number[]): Tampered | undefined {
  const one = places[random.integer(places.length)]!;
  const two = places[random.integer(places.length)]!;
  if (one === two) return undefined;
  const what = `rows ${one} and ${two} swapped`;
  if (random.integer(2) === 0) {
    const move = db.prepare("UPDATE events SET position = ? WHERE position = ?");
    move.run(-1_000_000, one);
    move.run(one, two);
    move.run(two, -1_000_000);
  } else {
    const cells = "type, source, timestamp, payload";
    const read = db.prepare(`SELECT ${cells} FROM events WHERE position = ?`);
    const write = db.prepare(
      "UPDATE events SET type = ?, source = ?, timestamp = ?, payload = ? WHERE position = ?",
    );
    const [left, right] = [read.get(one)!, read.get(two)!];
    if (Object.keys(left).every((name) => left[name] === right[name])) return undefined;
    write.run(...Object.values(left), two);
    write.run(...Object.values(right), one);
  }
  return { what, position: Math.min(one, two), kinds: ["moved", "changed"] };
}

/** The rows from one on, with all that says that they were sealed. Only an anchor still knows. */
function cutWithSeals(
  db: DatabaseSync,
  places: readonly number[],
  index: number,
): Tampered | undefined {
  const cutAt = places[index]!;
  const seals = db
    .prepare("SELECT name, value FROM slots WHERE name LIKE 'audit/seal/%' ORDER BY name")
    .all()
    .map(({ name, value }) => ({ name: String(name), ...JSON.parse(String(value)) }) as SealSlot);
  const kept = seals.filter(({ to }) => to < cutAt);
  db.prepare("DELETE FROM events WHERE position >= ?").run(cutAt);
  for (const { name } of seals.slice(kept.length)) {
    db.prepare("DELETE FROM slots WHERE name = ?").run(name);
  }
  const last = kept.at(-1);
  const hash = seals[kept.length]!.prev;
  if (last) {
    const value = JSON.stringify({ anchor: last.seal, to: last.to, hash });
    db.prepare("UPDATE slots SET value = ? WHERE name = 'audit/head'").run(value);
  } else db.prepare("DELETE FROM slots WHERE name = 'audit/head'").run();
  const position = Math.max((places[index - 1] ?? 0) + 1, (last?.to ?? 0) + 1);
  return { what: `cut at ${cutAt} with its seals`, position, kinds: ["cut"] };
}

interface SealSlot {
  readonly name: string;
  readonly seal: number;
  readonly to: number;
  readonly prev: string;
}
