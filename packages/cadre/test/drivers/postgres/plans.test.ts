/** How the server runs what Cadre calls: by plans that are made once, and go by indexes. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPostgres } from "cadre/postgres";
import {
  postgresServerPath,
  startPostgresServer,
  type PostgresServer,
} from "../../servers/postgres-server.ts";

const skip = postgresServerPath() === undefined ? "there is no postgres here" : false;
let server: PostgresServer;
before(async () => {
  if (!skip) server = await startPostgresServer();
});
after(() => (skip ? undefined : server.stop()));

for (const name of ["commit_batch", "append_events", "claim", "ack"]) {
  test(`${name} makes no plan twice and reads no table whole`, { skip }, async () => {
    const url = await server.createDatabase();
    const log = await openPostgres(url);
    await log.close();
    const text = `SELECT unnest(proconfig) FROM pg_proc WHERE oid = 'cadre.${name}'::regproc`;
    const settings = new Set(server.run(text, url).trim().split("\n"));
    for (const setting of ["plan_cache_mode=force_generic_plan", "enable_seqscan=off", "jit=off"]) {
      assert.ok(settings.has(setting), `${setting} is not among ${[...settings].join(", ")}`);
    }
  });
}
