/** How a log is opened: addresses, pools, passwords, TLS, and what is in the database already. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmod, chown, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
// @ts-expect-error -- pg has no types of its own; what is used of it is PostgresPool
import pg from "pg";
import { isCadreError, type ErrorCode } from "cadre";
import { openPostgres, postgresStore, type PostgresPool } from "cadre/postgres";
import { loadLibrary } from "#src/drivers/postgres/connect.ts";
import { prepareSchema } from "#src/drivers/postgres/schema.ts";
import { logOf } from "#src/drivers/postgres/postgres-log.ts";
import { PostgresStore } from "#src/drivers/postgres/postgres-store.ts";
import { noted } from "./noted.ts";
import {
  postgresServerPath,
  startPostgresServer,
  type PostgresServer,
} from "../../servers/postgres-server.ts";
import { freePort } from "../../servers/temporary.ts";

interface Queries {
  query(text: string): Promise<{ readonly rows: readonly Readonly<Record<string, unknown>>[] }>;
}

const skip = postgresServerPath() === undefined ? "there is no postgres here" : false;
let server: PostgresServer;
before(async () => {
  if (!skip) server = await startPostgresServer();
});
after(() => (skip ? undefined : server.stop()));

const quick = { connectTimeoutMs: 400 };

function refused(code: ErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isCadreError(error, code), String(error));
    assert.match(error.message, message);
    return true;
  };
}

test("an address that leads to no database is refused, without its password", () => {
  for (const url of [
    "",
    "postgres:",
    "postgres://",
    "localhost:5432/team",
    "mysql://u:secret@h/d",
    "postgres//u:secret@h",
  ]) {
    assert.throws(
      () => postgresStore(url),
      (error) => {
        assert.ok(isCadreError(error, "INVALID_OPTION"), String(error));
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
      url,
    );
  }
});

test("a schema that needs quotes, or two of them, are refused", () => {
  const url = "postgres://localhost/team";
  for (const schema of ["Team", "pg_team", "a b", "1a", "", "a".repeat(49)]) {
    assert.throws(() => postgresStore(url, { schema }), refused("INVALID_OPTION", /schema/));
    const inUrl = `${url}?schema=${encodeURIComponent(schema)}`;
    assert.throws(() => postgresStore(inUrl), refused("INVALID_OPTION", /schema/));
  }
  const twice = (): unknown => postgresStore(`${url}?schema=a`, { schema: "b" });
  assert.throws(twice, refused("INVALID_OPTION", /Give one of them/));
});

test("a single client is refused, and so are a URL's options for a pool", async () => {
  const client = new pg.Client();
  assert.throws(() => postgresStore(client), refused("INVALID_OPTION", /a pool/));
  const pool = new pg.Pool();
  const open = (): unknown => postgresStore(pool, { maxConnections: 5 });
  assert.throws(open, refused("INVALID_OPTION", /has its own/));
  await pool.end();
});

test("a missing library says what to install", async () => {
  const failing = (): Promise<unknown> => Promise.reject(new Error("Cannot find package 'pg'"));
  await assert.rejects(
    loadLibrary(failing),
    refused("MISSING_LIBRARY", /pg, which is not installed\. Run: npm install pg/),
  );
});

test("a server that is not there is tried until the deadline, then named", async () => {
  const port = await freePort();
  const url = `postgres://user:secret@127.0.0.1:${port}/team`;
  await assert.rejects(openPostgres(url, quick), (error) => {
    assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}.*tried \\d+ times.*REFUSED`));
    assert.doesNotMatch(error.message, /secret/);
    assert.ok(error.details.tried > 1);
    return true;
  });
});

test("a database that does not exist is said at once", { skip }, async () => {
  const url = server.url.replace(/postgres$/, "nowhere");
  const startedAt = performance.now();
  await assert.rejects(openPostgres(url), refused("UNREACHABLE", /"nowhere" does not exist/));
  assert.ok(performance.now() - startedAt < 5_000, "it was tried again");
});

test("a pool that is handed in serves a log, and stays open", { skip }, async () => {
  const pool: PostgresPool & Queries = new pg.Pool({ connectionString: server.url, max: 3 });
  const log = await openPostgres(pool, { schema: "handed_in" });
  let woken = 0;
  log.store.watch(() => (woken += 1));
  await log.store.commit({ outbox: [noted()] });
  assert.equal((await Array.fromAsync(log.store.read())).length, 1);
  assert.ok(woken > 0);
  await log.close();
  assert.equal((await pool.query("SELECT 7 AS n")).rows[0]?.["n"], 7);
  await pool.end();
});

test("two logs live side by side in schemas of one database", { skip }, async () => {
  await using stack = new AsyncDisposableStack();
  const [one, two] = await Promise.all(
    ["one", "two"].map((schema) => openPostgres(server.url, { schema })),
  );
  stack.defer(() => one!.close());
  stack.defer(() => two!.close());
  await one!.store.commit({ outbox: [noted()] });
  assert.equal(await one!.store.head(), 1);
  assert.equal(await two!.store.head(), 0);
});

test("many who start at once on an empty database all get a log", { skip }, async () => {
  const url = await server.createDatabase();
  const logs = await Promise.all(Array.from({ length: 6 }, () => openPostgres(url)));
  await Promise.all(logs.map(({ store }) => store.commit({ outbox: [noted()] })));
  assert.equal(await logs[0]!.store.head(), 6);
  await Promise.all(logs.map((log) => log.close()));
});

test("tables of an older version are brought on, with what is in them", { skip }, async () => {
  const url = await server.createDatabase();
  const old = logOf("test", url, {});
  await prepareSchema(old.connection, 1);
  await new PostgresStore(await withoutMigration(old)).commit({ outbox: [noted()] });
  await old.close();
  assert.equal(format(url), "1");
  const log = await openPostgres(url);
  assert.notEqual(format(url), "1");
  assert.equal((await Array.fromAsync(log.store.read())).length, 1);
  await log.close();
});

test("tables of a newer version are refused, and not touched", { skip }, async () => {
  const url = await server.createDatabase();
  await (await openPostgres(url)).close();
  server.run("UPDATE cadre.meta SET value = '99' WHERE name = 'format'", url);
  await assert.rejects(openPostgres(url), refused("STORE_TOO_NEW", /format 99.*Update Cadre/));
  assert.equal(format(url), "99");
});

test("another program's tables are refused, and not touched", { skip }, async () => {
  for (const table of ["meta (a int)", "meta (name text, value text)", "events (id int)"]) {
    const url = await server.createDatabase();
    server.run(`CREATE SCHEMA cadre; CREATE TABLE cadre.${table}`, url);
    await assert.rejects(openPostgres(url), refused("STORE_CORRUPT", /another program's/));
    const count = "SELECT count(*) FROM pg_class WHERE relnamespace = 'cadre'::regnamespace";
    assert.equal(server.run(`${count} AND relkind = 'r'`, url).trim(), "1");
  }
});

test("a database that cannot hold all text is refused", { skip }, async () => {
  server.run("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0");
  const url = server.url.replace(/postgres$/, "ascii");
  await assert.rejects(openPostgres(url), refused("STORE_UNAVAILABLE", /SQL_ASCII/));
});

test("a user who may not write is told so; a reader reads", { skip }, async () => {
  const url = await server.createDatabase();
  server.run("CREATE ROLE reader LOGIN", url);
  const asReader = url.replace("postgres@", "reader@");
  await assert.rejects(openPostgres(asReader), refused("STORE_READ_ONLY", /permission denied/));
  const log = await openPostgres(url);
  await log.store.commit({ outbox: [noted()] });
  await log.close();
  server.run("GRANT USAGE ON SCHEMA cadre TO reader", url);
  server.run("GRANT SELECT ON ALL TABLES IN SCHEMA cadre TO reader", url);
  const reading = await openPostgres(asReader);
  assert.equal((await Array.fromAsync(reading.store.read())).length, 1);
  const writing = reading.store.commit({ outbox: [noted()] });
  await assert.rejects(writing, refused("STORE_READ_ONLY", /permission denied/));
  await reading.close();
});

test("a database whose transactions see no newer commits is refused", { skip }, async () => {
  const url = await server.createDatabase();
  const name = url.slice(url.lastIndexOf("/") + 1);
  const isolation = "default_transaction_isolation = 'repeatable read'";
  server.run(`ALTER DATABASE ${name} SET ${isolation}`);
  const log = await openPostgres(url);
  const writing = log.store.commit({ outbox: [noted()] });
  await assert.rejects(writing, refused("STORE_UNAVAILABLE", /READ COMMITTED/));
  await log.close();
});

const noTls =
  spawnSync("openssl", ["version"]).status === 0 ? skip : "there is no openssl to sign with";

test("a log is reached with a password over TLS, and not otherwise", { skip: noTls }, async () => {
  await using secure = await startPostgresServer();
  const certificate = await secureServer(secure);
  const { port } = secure;
  const address = `127.0.0.1:${port}/postgres`;
  const trusted = `sslmode=verify-full&sslrootcert=${certificate}`;
  const log = await openPostgres(`postgres://team:s%2Fcret@${address}?${trusted}`);
  await log.store.commit({ outbox: [noted()] });
  const used = "SELECT count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)";
  const pool: PostgresPool & Queries = new pg.Pool({
    connectionString: `postgres://team:s%2Fcret@${address}`,
    ssl: { ca: await readFile(certificate, "utf8") },
  });
  const ssl = await pool.query(`${used} WHERE ssl AND application_name = 'cadre'`);
  assert.equal(Object.values(ssl.rows[0]!)[0], true);
  const second = postgresStore(pool);
  assert.equal(await second.head(), 1);
  await second.close();
  await pool.end();
  await log.close();
  const bad: readonly [string, RegExp][] = [
    [`postgres://team:wrong@${address}?${trusted}`, /password authentication failed/],
    [`postgres://team:s%2Fcret@${address}?sslmode=verify-full`, /self.signed certificate/],
    [`postgres://team:s%2Fcret@${address}`, /pg_hba\.conf|no encryption/],
  ];
  for (const [url, message] of bad) {
    await assert.rejects(openPostgres(url), (error) => {
      assert.doesNotMatch(String(error), /cret@|wrong@/);
      return refused("UNREACHABLE", message)(error);
    });
  }
});

function format(url: string): string {
  return server.run("SELECT value FROM cadre.meta WHERE name = 'format'", url).trim();
}

/** The log as the version that made its tables would use it. */
async function withoutMigration(log: ReturnType<typeof logOf>): Promise<typeof log> {
  log.ready = () => Promise.resolve();
  return log;
}

/** Turns TLS and passwords on; returns the path of the certificate that clients must trust. */
async function secureServer(secure: PostgresServer): Promise<string> {
  const certificate = join(secure.dataFolder, "server.crt");
  const key = join(secure.dataFolder, "server.key");
  const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
  const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
  const made = ["-subj", "/CN=localhost", "-addext", names, "-keyout", key, "-out", certificate];
  execFileSync("openssl", [...request, ...made], { stdio: "ignore" });
  const { uid, gid } = await stat(secure.dataFolder);
  for (const path of [certificate, key]) await chown(path, uid, gid);
  await chmod(key, 0o600);
  secure.run("CREATE ROLE team LOGIN PASSWORD 's/cret'; GRANT CREATE ON DATABASE postgres TO team");
  secure.run("ALTER SYSTEM SET ssl = on");
  const rules = join(secure.dataFolder, "pg_hba.conf");
  await writeFile(rules, "hostssl all team 127.0.0.1/32 scram-sha-256\nlocal all all trust\n");
  await secure.restart();
  return certificate;
}
