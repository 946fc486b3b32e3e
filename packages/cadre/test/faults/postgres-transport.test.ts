/** Each check of the suite several times side by side, on a real server. */
import { after, test } from "node:test";
import { postgres } from "cadre/postgres";
import { transportConformance } from "cadre/testing";
import { postgresServerPath, startPostgresServer } from "../servers/postgres-server.ts";

if (postgresServerPath() === undefined) {
  test("the suite, side by side", { skip: "there is no postgres here" }, () => {});
} else {
  const server = await startPostgresServer({ settings: ["max_connections = 400"] });
  after(() => server.stop());
  await transportConformance({
    test,
    createTransport: () => postgres(server.url, { maxConnections: 4 }),
    tier: "all",
    parallel: 3,
    leaseMs: 1_000,
    boundMs: 40_000,
    timeoutMs: 180_000,
  });
}
