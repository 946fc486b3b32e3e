/** A server with a password and a certificate of its own, and a client library that is missing. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createBus, isCadreError } from "cadre";
import { nats } from "cadre/nats";
import { natsServerPath, startNatsServer, type NatsServer } from "../../servers/nats-server.ts";
import { makeTempFolder } from "../../servers/temporary.ts";

/** A key and a certificate that is its own authority; undefined where there is no openssl. */
function makeCertificate(
  folder: string,
): { readonly key: string; readonly ca: string } | undefined {
  const [key, ca] = [join(folder, "key.pem"), join(folder, "ca.pem")];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const whose = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const files = ["-keyout", key, "-out", ca];
  const made = spawnSync("openssl", ["req", ...kind, "-days", "2", ...whose, ...files]);
  return made.status === 0 ? { key, ca } : undefined;
}

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

test("a bus works over TLS with a password", options, async () => {
  const bus = createBus({ transport: nats(address("team:s3cret%2F"), { connection: { tls } }) });
  const seen = Promise.withResolvers<unknown>();
  await bus.subscribe("note.*", { group: "readers" }, (event) => seen.resolve(event.payload));
  await bus.publish("note.taken", { text: "in private" });
  assert.deepEqual(await seen.promise, { text: "in private" });
  await bus.close();
});

test(
  "a wrong password is refused at the first try, and not repeated in the message",
  options,
  async () => {
    const transport = nats(address("team:hunter2"), { connection: { tls } });
    await assert.rejects(transport.publish([]), (error: unknown) => {
      assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
      assert.equal(error.details.tried, 1);
      assert.doesNotMatch(`${error.message} ${JSON.stringify(error.details)}`, /hunter2|team/);
      assert.match(error.message, /authorization/i);
      return true;
    });
    await transport.close();
  },
);

test("a server whose certificate nobody vouches for is not talked to", options, async () => {
  const transport = nats(address("team:s3cret%2F"), { connectTimeoutMs: 2_000 });
  await assert.rejects(transport.publish([]), (error: unknown) => {
    assert.ok(isCadreError(error, "UNREACHABLE"), String(error));
    assert.match(error.message, /certificate/i);
    assert.doesNotMatch(error.message, /s3cret/);
    return true;
  });
  await transport.close();
});

test("without its library the transport says what to install", () => {
  const from = import.meta.resolve("cadre/nats");
  const code = `
    import { registerHooks } from "node:module";
    registerHooks({
      resolve(name, context, next) {
        if (name !== "@nats-io/transport-node") return next(name, context);
        throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
      },
    });
    const { nats } = await import(${JSON.stringify(from)});
    const transport = nats("nats://127.0.0.1:1");
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
  const install = "npm install @nats-io/transport-node";
  assert.equal(said.code, "MISSING_LIBRARY");
  assert.deepEqual(said.details, { library: "@nats-io/transport-node", install });
  assert.equal(said.health.ok, false);
  assert.ok(said.health.detail.includes(install), said.health.detail);
});
