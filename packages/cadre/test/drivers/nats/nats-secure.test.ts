/** A server with a password and a certificate of its own, and a client library that is missing. */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { after, test } from "node:test";
import { nats } from "cadre/nats";
import {
  carriesNotes,
  refusesCertificate,
  refusesPassword,
  saysWhatToInstall,
} from "../secure-checks.ts";
import { makeCertificate } from "../../servers/certificate.ts";
import { natsServerPath, startNatsServer, type NatsServer } from "../../servers/nats-server.ts";
import { makeTempFolder } from "../../servers/temporary.ts";

const folder = await makeTempFolder();
const certificate = makeCertificate(folder);
let skip: string | false = false;
if (natsServerPath() === undefined) skip = "there is no nats-server here";
else if (!certificate) skip = "there is no openssl here";
const options = { skip, timeout: 30_000 };
let server: NatsServer | undefined;
if (!skip) {
  const { key, ca } = certificate!;
  const password = ["--user", "team", "--pass", "s3cret/"];
  server = await startNatsServer([...password, "--tls", "--tlscert", ca, "--tlskey", key]);
}
after(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const address = (credentials: string): string => `tls://${credentials}@127.0.0.1:${server!.port}`;
const tls = { caFile: certificate?.ca };

test("a bus works over TLS with a password", options, () =>
  carriesNotes(nats(address("team:s3cret%2F"), { connection: { tls } })),
);

test(
  "a wrong password is refused at the first try, and not repeated in the message",
  options,
  async () => {
    const transport = nats(address("team:hunter2"), { connection: { tls } });
    assert.match(await refusesPassword(transport, /hunter2|team/), /authorization/i);
  },
);

test("a server whose certificate nobody vouches for is not talked to", options, () =>
  refusesCertificate(nats(address("team:s3cret%2F"), { connectTimeoutMs: 2_000 }), /s3cret/),
);

test("without its library the transport says what to install", () => {
  saysWhatToInstall("nats", "@nats-io/transport-node");
});
