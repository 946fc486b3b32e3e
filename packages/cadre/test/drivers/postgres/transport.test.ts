import { after, test } from "node:test";
import { postgres } from "cadre/postgres";
import { transportConformance } from "cadre/testing";
import { postgresServerPath, startPostgresServer } from "../../servers/postgres-server.ts";

if (postgresServerPath() === undefined) {
  test("the suite on a real server", { skip: "there is no postgres here" }, () => {});
} else {
  const server = await startPostgresServer();
  after(() => server.stop());
  await transportConformance({
    test,
    createTransport: () => postgres(server.url),
    restart: () => server.restart(),
  });
}
