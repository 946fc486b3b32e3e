import assert from "node:assert/strict";
import { after, test } from "node:test";
import { exportLog, importLog, memoryStore, readAnchor, runRetention } from "cadre";
import { startSealer, verifyLog, type EventStore } from "cadre";
import { postgresStore } from "cadre/postgres";
import { SeededRandom } from "#src/core/random.ts";
import { postgresServerPath, startPostgresServer } from "../../servers/postgres-server.ts";
import { fillLog } from "../sqlite/tampering.ts";

/** One change to each column, as SQL; some leave the event as it is read the same. */
const changes: readonly (readonly [column: string, value: string])[] = [
  ["id", "gen_random_uuid()"],
  ["type", "'a.other'"],
  ["source", "source || ' '"],
  ["timestamp", "timestamp + 1"],
  ["recorded_at", "recorded_at + 0.5"],
  ["correlation", "gen_random_uuid()"],
  ["causation", "gen_random_uuid()"],
  // to a stream that has no such version: the database itself would refuse it
  [
    "stream",
    `(SELECT max(no) FROM streams s WHERE s.no <> e.stream AND NOT EXISTS
      (SELECT 1 FROM events x WHERE x.stream = s.no AND x.version = e.version))`,
  ],
  ["stream", "NULL"],
  ["version", "version + 100"],
  ["version", "NULL"],
  ["flags", "coalesce(flags, 0) # 1"],
  ["flags", "coalesce(flags, 0) | 8"],
  ["key", "coalesce(key, '') || 'x'"],
  ["rank", "coalesce(rank, 1) + 1"],
  ["deliver_at", "coalesce(deliver_at, 0) + 1"],
  ["schema", "coalesce(schema, '') || '9'"],
  ["extra", "coalesce(extra, '{}') || ' '"],
  ["payload", "payload || ' '"],
  ["payload", "'{\"other\":1}'"],
];

async function linesOf(store: EventStore): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of exportLog(store)) lines.push(line);
  return lines;
}

if (postgresServerPath() === undefined) {
  test("audits on Postgres", { skip: "there is no postgres here" });
} else {
  const server = await startPostgresServer();
  after(() => server.stop());
  const random = new SeededRandom(9);
  const run = (sql: string): string => server.run(`SET search_path = audited;\n${sql}`);

  test("a change to any column, a removed, an inserted and a swapped row are found", async (t) => {
    const store = postgresStore(`${server.url}?schema=audited`);
    t.after(() => store.close());
    await fillLog(store, random, 60);
    await startSealer({ store, blockRows: 16 }).close();
    const anchor = (await readAnchor(store))!;
    assert.equal((await verifyLog(store, { anchors: [anchor] })).problem, undefined);
    const found = run(
      "SELECT min(position) FROM events WHERE position > 20 AND stream IS NOT NULL",
    );
    const place = Number(found.trim().split("\n").at(-1));
    run("CREATE TABLE saved AS SELECT * FROM events");
    const at = `WHERE position = ${place}`;
    const cases: [string, number][] = changes.map(([column, value]) => [
      `UPDATE events e SET ${column} = ${value} ${at}`,
      place,
    ]);
    cases.push(
      [`DELETE FROM events ${at}`, place],
      [`DELETE FROM events WHERE position >= ${place}`, place],
      [`UPDATE events SET position = -1 ${at}`, -1],
      [
        `UPDATE events SET position = -position WHERE position IN (${place}, ${place + 1});
         UPDATE events SET position = ${2 * place + 1} + position WHERE position < 0`,
        place,
      ],
    );
    for (const [sql, position] of cases) {
      run(sql);
      const { ok, problem } = await verifyLog(store, { anchors: [anchor] });
      assert.equal(ok, false, `not found: ${sql}`);
      assert.equal(problem?.position, position, `${problem?.message}: ${sql}`);
      run("TRUNCATE events; INSERT INTO events SELECT * FROM saved");
    }
    assert.equal((await verifyLog(store, { anchors: [anchor] })).problem, undefined);
  });

  test("retention leaves the chain good; the log moves to another store and back", async (t) => {
    const source = postgresStore(`${server.url}?schema=source`);
    const target = postgresStore(`${server.url}?schema=target`);
    t.after(() => Promise.all([source.close(), target.close()]));
    await fillLog(source, random, 60);
    await startSealer({ store: source, blockRows: 16 }).close();
    const { removed } = await runRetention({
      store: source,
      rules: [{ type: "a.noted", maxEvents: 5 }],
    });
    assert.ok(removed > 0);
    await startSealer({ store: source, blockRows: 16 }).close();
    const lines = await linesOf(source);
    const between = memoryStore();
    await importLog(between, lines);
    await importLog(target, await linesOf(between));
    assert.deepEqual(await linesOf(target), lines);
    const report = await verifyLog(target);
    assert.deepEqual([report.ok, report.removed, report.unsealed], [true, removed, 0]);
  });
}
