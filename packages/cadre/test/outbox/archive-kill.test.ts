import { test } from "node:test";
import assert from "node:assert/strict";
import { nats } from "cadre/nats";
import { natsServerPath, startNatsServer } from "../servers/nats-server.ts";
import { killArchivers } from "./archive-kills.ts";

const skip = natsServerPath() === undefined ? "there is no nats-server here" : false;

test(
  "an archiver of NATS that is killed three times loses nothing and doubles nothing",
  { skip },
  async (context) => {
    await using server = await startNatsServer();
    const { url } = server;
    const outcome = await killArchivers({ url, connect: () => nats(url), kills: 3 });
    context.diagnostic(JSON.stringify(outcome));
    assert.equal(outcome.bites, 3);
  },
);
