import { postgres } from "cadre/postgres";
import { postgresServerPath, startPostgresServer } from "../../servers/postgres-server.ts";
import { suiteOnServer } from "../../servers/suite-server.ts";

await suiteOnServer({
  variable: "CADRE_TEST_POSTGRES_URL",
  path: postgresServerPath(),
  start: startPostgresServer,
  open: postgres,
});
