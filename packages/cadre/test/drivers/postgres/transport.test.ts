import { test } from "node:test";
import { postgres } from "cadre/postgres";
import { transportConformance } from "cadre/testing";
import { postgresServerPath, startPostgresServer } from "../../servers/postgres-server.ts";
import { suiteServer, suiteSkip } from "../../servers/suite-server.ts";

const variable = "CADRE_TEST_POSTGRES_URL";
const skip = suiteSkip(variable, postgresServerPath());
if (skip !== undefined) {
  test("the suite on a real server", { skip }, () => {});
} else {
  const server = await suiteServer(variable, startPostgresServer);
  await transportConformance({
    test,
    createTransport: () => postgres(server.url),
    ...(server.restart && { restart: server.restart }),
  });
}
