import { rabbitmq } from "cadre/rabbitmq";
import { rabbitmqServerPath, startRabbitmqServer } from "../../servers/rabbitmq-server.ts";
import { suiteOnServer } from "../../servers/suite-server.ts";

await suiteOnServer({
  variable: "CADRE_TEST_RABBITMQ_URL",
  path: rabbitmqServerPath(),
  start: startRabbitmqServer,
  open: rabbitmq,
});
