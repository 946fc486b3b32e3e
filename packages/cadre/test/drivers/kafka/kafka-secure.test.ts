/** A broker with passwords and a certificate of its own, and a client library that is missing. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createBus, isCadreError } from "cadre";
import { kafka } from "cadre/kafka";
import { kafkaServerPath, startKafkaServer, type KafkaServer } from "../../servers/kafka-server.ts";
import { makeTempFolder } from "../../servers/temporary.ts";

interface Certificate {
  /** Key and certificate in one file, as the broker reads them. */
  readonly store: string;
  readonly ca: string;
}

/** A key and a certificate that is its own authority; undefined where there is no openssl. */
function makeCertificate(folder: string): Certificate | undefined {
  const [key, ca, store] = ["key.pem", "ca.pem", "store.pem"].map((name) => join(folder, name));
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const whose = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const files = ["-keyout", key!, "-out", ca!];
  const made = spawnSync("openssl", ["req", ...kind, "-days", "2", ...whose, ...files]);
  if (made.status !== 0) return undefined;
  writeFileSync(store!, `${readFileSync(key!, "utf8")}\n${readFileSync(ca!, "utf8")}`);
  return { store: store!, ca: ca! };
}

function secureProperties({ store, ca }: Certificate): Record<string, string> {
  const login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
  const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required";
  const who = 'username="team" password="s3cret/"';
  return {
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": store,
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": ca,
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

test("a bus works over TLS with a password", options, async () => {
  const transport = kafka(address("team:s3cret%2F"), { connection, partitions: 1 });
  const bus = createBus({ transport });
  const seen = Promise.withResolvers<unknown>();
  await bus.subscribe("note.*", { group: "readers" }, (event) => seen.resolve(event.payload));
  await bus.publish("note.taken", { text: "in private" });
  assert.deepEqual(await seen.promise, { text: "in private" });
  await bus.close();
});

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
    await assert.rejects(transport.publish([]), (error: unknown) => {
      assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
      assert.equal(error.details.tried, 1);
      assert.doesNotMatch(`${error.message} ${JSON.stringify(error.details)}`, /hunter2/);
      assert.match(error.message, /authenticat/i);
      return true;
    });
    await transport.close();
  },
);

test("a broker whose certificate nobody vouches for is not talked to", options, async () => {
  const transport = kafka(address("team:s3cret%2F"), { connectTimeoutMs: 300 });
  await assert.rejects(transport.publish([]), (error: unknown) => {
    assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
    assert.match(error.message, /certificate/i);
    assert.doesNotMatch(error.message, /s3cret/);
    return true;
  });
  await transport.close();
});

test("without its library the transport says what to install", () => {
  const from = import.meta.resolve("cadre/kafka");
  const code = `
    import { registerHooks } from "node:module";
    registerHooks({
      resolve(name, context, next) {
        if (name !== "@platformatic/kafka") return next(name, context);
        throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
      },
    });
    const { kafka } = await import(${JSON.stringify(from)});
    const transport = kafka("kafka://127.0.0.1:1");
    const error = await transport.publish([]).catch((error) => error);
    const health = await transport.health();
    await transport.close();
    console.log(JSON.stringify({ code: error.code, details: error.details, health }));`;
  const args = ["--conditions=source", "--input-type=module", "-e", code];
  const cwd = fileURLToPath(new URL("../../../", import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: "utf8" });
  const said = JSON.parse(stdout || "null") as {
    code: string;
    details: unknown;
    health: { ok: boolean; detail: string };
  } | null;
  assert.ok(said, stderr);
  const install = "npm install @platformatic/kafka";
  assert.equal(said.code, "MISSING_LIBRARY");
  assert.deepEqual(said.details, { library: "@platformatic/kafka", install });
  assert.equal(said.health.ok, false);
  assert.ok(said.health.detail.includes(install), said.health.detail);
});
