import assert from "node:assert/strict";
import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import {
  createEvent,
  isCadreError,
  secureRandom,
  systemClock,
  type AgentEvent,
  type ErrorCode,
} from "cadre";
import { openSqlite, sqlite, sqliteStore, type SqliteLog, type SqliteOptions } from "cadre/sqlite";
import { temporaryFile, temporaryFolder } from "./temporary-file.ts";

function event(payload: unknown = {}): AgentEvent {
  const context = { clock: systemClock, random: secureRandom, source: "test" };
  return createEvent(context, "work.wanted", payload);
}

async function refuses(attempt: () => Promise<unknown>, code: ErrorCode): Promise<unknown> {
  let details: unknown;
  await assert.rejects(attempt, (error: unknown) => {
    assert.ok(isCadreError(error, code), `expected ${code}, got ${String(error)}`);
    assert.ok(error.message.length > 20, "says what to do");
    details = error.details;
    return true;
  });
  return details;
}

async function countEvents(log: SqliteLog): Promise<number> {
  let count = 0;
  for await (const _ of log.store.read()) count += 1;
  return count;
}

async function makeLog(path: string, events = 100): Promise<void> {
  const log = await openSqlite(path);
  await log.store.commit({
    outbox: Array.from({ length: events }, (_, n) => event({ n, text: "x".repeat(300) })),
  });
  await log.close();
}

test("a file that is no database is refused and left as it is", async () => {
  const path = temporaryFile("notes.txt");
  const text = "These are somebody's notes, and no log at all.\n".repeat(100);
  writeFileSync(path, text);
  assert.deepEqual(await refuses(() => openSqlite(path), "STORE_CORRUPT"), {
    path,
    reason: "file is not a database",
  });
  assert.equal(readFileSync(path, "utf8"), text);
});

test("another program's database is refused and left as it is", async () => {
  const path = temporaryFile("other.db");
  const db = new DatabaseSync(path);
  db.exec("CREATE TABLE notes (text); INSERT INTO notes VALUES ('keep me')");
  db.close();
  const before = readFileSync(path);
  await refuses(() => openSqlite(path), "STORE_CORRUPT");
  assert.deepEqual(readFileSync(path), before);
});

test("a file of a newer format is refused and left as it is", async () => {
  const path = temporaryFile();
  await makeLog(path);
  const db = new DatabaseSync(path);
  db.exec("PRAGMA user_version = 99");
  db.close();
  const before = readFileSync(path);
  const details = await refuses(() => openSqlite(path), "STORE_TOO_NEW");
  assert.deepEqual(details, { path, found: 99, supported: 1 });
  assert.deepEqual(readFileSync(path), before);
});

test("a damaged file is refused, when it is opened or when the damage is met", async () => {
  const whole = temporaryFile();
  await makeLog(whole, 2_000);
  const bytes = readFileSync(whole);
  const damage: readonly [string, (copy: Buffer) => Buffer][] = [
    ["cut in the middle of a page", (copy) => copy.subarray(0, 10_000)],
    ["header overwritten", (copy) => copy.fill(0xff, 0, 64)],
    ["schema overwritten", (copy) => copy.fill(0x5a, 100, 4_000)],
    ["every page but the first overwritten", (copy) => copy.fill(0xa5, 4_096)],
  ];
  for (const [what, spoil] of damage) {
    const path = temporaryFile();
    writeFileSync(path, spoil(Buffer.from(bytes)));
    await refuses(async () => {
      const log = await openSqlite(path);
      try {
        await countEvents(log);
      } finally {
        await log.close().catch(() => {});
      }
      assert.fail(`${what}: was not noticed`);
    }, "STORE_CORRUPT");
  }
});

/** Runs `use` in a folder that cannot be written; unmounts or unlocks it afterwards. */
async function inReadOnlyFolder(
  t: TestContext,
  prepare: (folder: string) => Promise<void>,
  use: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = temporaryFolder();
  // Root may write anywhere that is not mounted read-only.
  const isRoot = process.getuid?.() === 0;
  if (isRoot && !mount(["-t", "tmpfs", "-o", "size=8m", "tmpfs", folder])) {
    t.skip("as root this takes a mount, which is not allowed here");
    return;
  }
  try {
    await prepare(folder);
    if (isRoot) mount(["-o", "remount,ro", folder]);
    else chmodSync(folder, 0o555);
    await use(folder);
  } finally {
    if (isRoot) execFileSync("umount", ["-l", folder]);
    else chmodSync(folder, 0o755);
  }
}

function mount(options: readonly string[]): boolean {
  try {
    execFileSync("mount", options, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

test("a folder that cannot be written is refused with STORE_READ_ONLY", async (t) => {
  await inReadOnlyFolder(
    t,
    (folder) => makeLog(join(folder, "old.db")),
    async (folder) => {
      await refuses(() => openSqlite(join(folder, "old.db")), "STORE_READ_ONLY");
      await refuses(() => openSqlite(join(folder, "new.db")), "STORE_READ_ONLY");
      await refuses(() => openSqlite(join(folder, "deeper", "new.db")), "STORE_READ_ONLY");
      await refuses(() => sqliteStore(join(folder, "new.db")).head(), "STORE_READ_ONLY");
    },
  );
});

test("a path below a file, and a folder, are refused with STORE_UNAVAILABLE", async () => {
  const path = temporaryFile();
  await makeLog(path, 1);
  await refuses(() => openSqlite(join(path, "log.db")), "STORE_UNAVAILABLE");
  const folder = join(temporaryFolder(), "folder.db");
  mkdirSync(folder);
  await refuses(() => openSqlite(folder), "STORE_UNAVAILABLE");
});

test("on a full disk a commit is refused whole, and the next one goes through when there is room", async (t) => {
  const folder = temporaryFolder();
  if (!mount(["-t", "tmpfs", "-o", "size=2m", "tmpfs", folder])) {
    t.skip("a small file system takes a mount, which is not allowed here");
    return;
  }
  after(() => execFileSync("umount", ["-l", folder]));
  const log = await openSqlite(join(folder, "log.db"));
  const { transport, store } = log;
  const ballast = join(folder, "ballast");
  writeFileSync(ballast, Buffer.alloc(1024 * 1024));
  const accepted: string[] = [];
  const refused: string[] = [];
  for (let n = 0; n < 400 && refused.length < 20; n += 1) {
    const [a, b] = [event({ text: "a".repeat(4_000) }), event({ text: "b".repeat(4_000) })];
    const stream = `s/${a.id}`;
    try {
      await store.commit({
        appends: [{ stream, expectedVersion: 0, events: [a, b] }],
        slots: [{ name: stream, expectedVersion: 0, value: "x" }],
      });
      accepted.push(a.id, b.id);
    } catch (error) {
      assert.ok(isCadreError(error, "STORE_FULL"), String(error));
      refused.push(a.id, b.id);
    }
  }
  assert.ok(refused.length > 0, "the disk was never full");
  assert.ok(accepted.length > 0, "nothing fitted");
  const publish = transport.publish([{ event: event({ text: "c".repeat(8_000) }) }]);
  await refuses(() => publish, "STORE_FULL");
  writeFileSync(ballast, "");
  const late = event();
  await transport.publish([{ event: late }]);
  const found: string[] = [];
  for await (const stored of store.read()) found.push(stored.event.id);
  assert.deepEqual(found, [...accepted, late.id]);
  assert.equal((await store.slots("s/")).length, accepted.length / 2);
  await log.close();
  const again = await openSqlite(join(folder, "log.db"));
  assert.equal(await countEvents(again), found.length);
  await again.close();
});

test("a second process with other settings is refused while the first has the file open", async () => {
  const path = temporaryFile();
  const holder = fork(fileURLToPath(new URL("holder.ts", import.meta.url)), [path]);
  await once(holder, "message");
  const other: SqliteOptions = { maxEventBytes: 65_536 };
  const details = await refuses(() => openSqlite(path, other), "STORE_MISMATCH");
  assert.deepEqual(details, {
    path,
    setting: "maxEventBytes",
    expected: "4194304",
    actual: "65536",
  });
  await refuses(() => openSqlite(path, { durability: "process" }), "STORE_MISMATCH");
  const same = await openSqlite(path);
  assert.equal(await countEvents(same), 1);
  await same.close();
  // A process that was killed holds nobody up.
  const ended = once(holder, "exit");
  holder.kill("SIGKILL");
  await ended;
  const log = await openSqlite(path, other);
  assert.equal(log.transport.capabilities.maxBytes, 65_536);
  assert.equal(await countEvents(log), 1);
  await log.close();
});

test("a file without its write-ahead log is what the last checkpoint made it", async () => {
  const path = temporaryFile();
  await makeLog(path, 10);
  const log = await openSqlite(path);
  await log.store.commit({ outbox: [event()] });
  const copy = temporaryFile();
  copyFileSync(path, copy);
  await log.close();
  const found = await openSqlite(copy);
  assert.equal(await countEvents(found), 10);
  await found.close();
});

test("an impossible path or option is refused, naming it", async () => {
  for (const path of ["", ":memory:", "sqlite:", "sqlite::memory:"]) {
    await refuses(() => openSqlite(path), "INVALID_OPTION");
    assert.throws(() => sqlite(path), /needs a file/);
  }
  const bad: readonly [string, object][] = [
    ["durability", { durability: "none" }],
    ["maxEventBytes", { maxEventBytes: 0 }],
    ["busyTimeoutMs", { busyTimeoutMs: -1 }],
    ["pollMs", { pollMs: 0.5 }],
    ["clock", { clock: 1 }],
    ["durabilty", { durabilty: "disk" }],
  ];
  for (const [option, options] of bad) {
    const details = await refuses(() => openSqlite(temporaryFile(), options), "INVALID_OPTION");
    assert.equal((details as { option: string }).option, option);
    assert.throws(() => sqlite(temporaryFile(), options), /option/i);
    assert.throws(() => sqliteStore(temporaryFile(), options), /option/i);
  }
});

test("an event above the limit is refused by store and transport, and its neighbours go through", async () => {
  const log = await openSqlite(temporaryFile(), { maxEventBytes: 1_024 });
  const [small, large] = [event(), event({ text: "ä".repeat(600) })];
  await refuses(() => log.store.commit({ outbox: [small, large] }), "TOO_LARGE");
  assert.equal(await countEvents(log), 0);
  const results = await log.transport.publish([{ event: small }, { event: large }]);
  assert.deepEqual(
    results.map(({ ok }) => ok),
    [true, false],
  );
  assert.ok(!results[1]!.ok && isCadreError(results[1]!.error, "TOO_LARGE"));
  assert.equal(await countEvents(log), 1);
  await log.close();
});

test("an event that cannot be decoded reaches its group as bytes with a reason", async () => {
  const path = temporaryFile();
  await makeLog(path, 2);
  const db = new DatabaseSync(path);
  db.exec("UPDATE events SET payload = '{broken' WHERE position = 1");
  db.close();
  const log = await openSqlite(path);
  const intake = await log.transport.open({
    subscription: "workers",
    mode: "group",
    patterns: ["#"],
    definition: "#",
    from: "earliest",
    leaseMs: 10_000,
    maxQueued: 10,
  });
  const leases = await intake.pull(2, AbortSignal.timeout(5_000));
  assert.equal(Buffer.from(leases[0]!.recorded.undecodable!.bytes).toString(), "{broken");
  assert.ok(leases[1]!.recorded.event);
  await log.close();
});
