import { nats } from "cadre/nats";
import { natsServerPath, startNatsServer } from "../../servers/nats-server.ts";
import { suiteOnServer } from "../../servers/suite-server.ts";

await suiteOnServer({
  variable: "CADRE_TEST_NATS_URL",
  path: natsServerPath(),
  start: startNatsServer,
  open: nats,
});
