/** A broker with passwords and a certificate of its own, and a client library that is missing. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { isCadreError } from "cadre";
import { kafka } from "cadre/kafka";
import {
  carriesNotes,
  refusesCertificate,
  refusesPassword,
  saysWhatToInstall,
} from "../secure-checks.ts";
import { makeCertificate, type Certificate } from "../../servers/certificate.ts";
import { kafkaServerPath, startKafkaServer, type KafkaServer } from "../../servers/kafka-server.ts";
import { makeTempFolder } from "../../servers/temporary.ts";

/** Key and certificate in one file, as the broker reads them. */
function writeStore({ key, ca }: Certificate): string {
  const store = join(folder, "store.pem");
  writeFileSync(store, `${readFileSync(key, "utf8")}\n${readFileSync(ca, "utf8")}`);
  return store;
}

function secureProperties(certificate: Certificate): Record<string, string> {
  const login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
  const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required";
  const who = 'username="team" password="s3cret/"';
  return {
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": writeStore(certificate),
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": certificate.ca,
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "listener.name.clients.plain.sasl.jaas.config": `${login} ${who} user_team="s3cret/";`,
    "listener.name.clients.scram-sha-256.sasl.jaas.config": `${scram} ${who};`,
  };
}

const folder = await makeTempFolder();
const certificate = makeCertificate(folder);
let skip: string | false = false;
if (kafkaServerPath() === undefined) skip = "there is no Kafka here";
else if (!certificate) skip = "there is no openssl here";
const options = { skip, timeout: 60_000 };
let server: KafkaServer | undefined;
if (!skip) {
  const properties = secureProperties(certificate!);
  server = await startKafkaServer({ protocol: "SASL_SSL", properties });
}
after(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const address = (credentials: string): string =>
  `kafkas://${credentials}@127.0.0.1:${server!.port}`;
const tls = { ca: certificate && readFileSync(certificate.ca) };
// An address instead of a name cannot be told to the server beforehand.
const connection = { tls, tlsServerName: "localhost" };

test("a bus works over TLS with a password", options, () =>
  carriesNotes(kafka(address("team:s3cret%2F"), { connection, partitions: 1 })),
);

test("another mechanism is handed through to the client", options, async () => {
  const sasl = { mechanism: "SCRAM-SHA-256", username: "team", password: "s3cret/" };
  const transport = kafka(`kafkas://127.0.0.1:${server!.port}`, {
    connection: { ...connection, sasl },
    connectTimeoutMs: 300,
  });
  // The broker keeps no SCRAM passwords here: it speaks the mechanism, and refuses the login.
  await assert.rejects(transport.publish([]), (error: unknown) => {
    assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
    assert.match(error.message, /authenticat/i);
    return true;
  });
  await transport.close();
});

test(
  "a wrong password is refused at the first try, and not repeated in the message",
  options,
  async () => {
    const transport = kafka(address("team:hunter2"), { connection });
    assert.match(await refusesPassword(transport, /hunter2/), /authenticat/i);
  },
);

test("a broker whose certificate nobody vouches for is not talked to", options, () =>
  refusesCertificate(kafka(address("team:s3cret%2F"), { connectTimeoutMs: 300 }), /s3cret/),
);

test("without its library the transport says what to install", () => {
  saysWhatToInstall("kafka", "@platformatic/kafka");
});
