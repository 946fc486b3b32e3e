/** Addresses, credentials, TLS, what a server is set to, and clients of the user's own. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Cluster, Redis } from "ioredis";
import { isCadreError, type CadreError, type Transport } from "cadre";
import { redis } from "cadre/redis";
import { makeCertificate } from "../../servers/certificate.ts";
import { redisServerPath, startRedisServer } from "../../servers/redis-server.ts";
import { freePort } from "../../servers/temporary.ts";
import { makeEvent, specOf, takeOne } from "../plain-events.ts";

const skip = redisServerPath() === undefined ? "there is no redis-server here" : false;
const options = { skip, timeout: 30_000 };

async function carries(transport: Transport): Promise<void> {
  const intake = await transport.open(specOf("task"));
  const [result] = await transport.publish([{ event: makeEvent("task.made") }]);
  assert.ok(result!.ok, String(!result!.ok && result!.error));
  const lease = await takeOne(intake);
  assert.equal(await lease?.settle({ kind: "ack" }), "ok");
}

async function failure(transport: Transport): Promise<CadreError> {
  const [result] = await transport
    .publish([{ event: makeEvent("task.made") }])
    .catch((error: unknown) => [{ ok: false as const, error }]);
  await transport.close();
  assert.equal(result!.ok, false);
  const { error } = result as { readonly error: unknown };
  assert.ok(isCadreError(error), String(error));
  return error;
}

test("what is no address or no option is refused", () => {
  for (const url of ["http://localhost", "redis://", "redis://h/notanumber", "redis://h?x=1"]) {
    assert.throws(
      () => redis(url),
      (error) => isCadreError(error, "INVALID_OPTION"),
      url,
    );
  }
  for (const wrong of [{ prefix: "a{b}" }, { durable: "much" }, { dedupeMs: -1 }, { unknown: 1 }]) {
    assert.throws(
      () => redis("redis://localhost", wrong as never),
      (error) => isCadreError(error, "INVALID_OPTION"),
    );
  }
  assert.throws(
    () => redis("redis://:secret@host/x"),
    (error) => error instanceof Error && !error.message.includes("secret"),
  );
});

test("where nobody listens, the error says where was tried, and how often", options, async () => {
  const port = await freePort();
  const transport = redis(`redis://127.0.0.1:${port}`, { connectTimeoutMs: 400 });
  const error = await failure(transport);
  assert.equal(error.code, "UNREACHABLE");
  assert.match(error.message, new RegExp(`redis://127.0.0.1:${port}, tried \\d+ times`));
});

test("a password is given by the URL, and a wrong one is refused at once", options, async () => {
  await using server = await startRedisServer({ args: ["--requirepass", "pass word"] });
  const address = `127.0.0.1:${server.port}`;
  const transport = redis(`redis://default:pass%20word@${address}`);
  await carries(transport);
  await transport.close();
  const startedAt = Date.now();
  for (const credentials of ["", ":wrong@", "default:wrong@"]) {
    const error = await failure(redis(`redis://${credentials}${address}`));
    assert.equal(error.code, "UNREACHABLE");
    assert.match(error.message, /tried once/);
    assert.doesNotMatch(error.message, /wrong@/);
  }
  assert.ok(Date.now() - startedAt < 8_000, "without further tries");
});

test("TLS with a password, and a certificate of its own authority", options, async () => {
  const certificateArgs = (folder: string): readonly string[] => {
    const { key, ca } = makeCertificate(folder)!;
    return ["--tls-cert-file", ca, "--tls-key-file", key, "--tls-ca-cert-file", ca];
  };
  const tlsPort = await freePort();
  await using server = await startRedisServer({
    args: (folder) => [
      ...["--tls-port", String(tlsPort), "--tls-auth-clients", "no"],
      ...["--requirepass", "secret", ...certificateArgs(folder)],
    ],
  });
  const ca = await readFile(join(server.folder, "ca.pem"));
  const url = `rediss://default:secret@localhost:${tlsPort}`;
  const transport = redis(url, { connection: { tls: { ca } } });
  await carries(transport);
  await transport.close();
  const unknown = await failure(redis(url));
  assert.equal(unknown.code, "UNREACHABLE");
  assert.match(unknown.message, /tried once: .*certificate/);
});

test(
  "durability is what the server is set to, and less than asked is refused",
  options,
  async () => {
    const settings = [
      ["always", "disk"],
      ["no", "process"],
      ["everysec", "no"],
    ] as const;
    for (const [appendfsync, durable] of settings) {
      await using server = await startRedisServer({ appendfsync });
      const transport = redis(server.url);
      assert.equal(transport.capabilities.durable, "no", "until it is known");
      await carries(transport);
      assert.equal(transport.capabilities.durable, durable);
      await transport.close();
      const strict = redis(server.url, { durable: "disk" });
      if (durable === "disk") await carries(strict);
      else assert.equal((await failure(strict)).code, "UNSUPPORTED");
      await strict.close();
    }
    await using memoryOnly = await startRedisServer({ args: ["--appendonly", "no"] });
    const strict = redis(memoryOnly.url, { durable: "process" });
    assert.equal((await failure(strict)).code, "UNSUPPORTED");
  },
);

test("a server that does not tell what it is set to is believed", options, async () => {
  await using server = await startRedisServer();
  const admin = new Redis(server.port, "127.0.0.1");
  await admin.acl("SETUSER", "team", "on", ">secret", "~*", "&*", "+@all", "-config");
  const transport = redis(`redis://team:secret@127.0.0.1:${server.port}`, { durable: "process" });
  await carries(transport);
  assert.equal(transport.capabilities.durable, "process");
  await transport.close();
  admin.disconnect();
});

test("a client of the user's own carries, and stays open", options, async () => {
  await using server = await startRedisServer();
  for (const protocol of [2, 3] as const) {
    const client = new Redis(server.port, "127.0.0.1", { protocol });
    const transport = redis(client, { prefix: `own${protocol}` });
    await carries(transport);
    await transport.close();
    assert.equal(await client.ping(), "PONG");
    client.disconnect();
  }
});

test("on a cluster a bus lies in one slot", options, async (t) => {
  await using server = await startRedisServer({
    args: ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"],
  });
  const admin = new Redis(server.port, "127.0.0.1");
  await admin.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
  while (!String(await admin.call("CLUSTER", "INFO")).includes("cluster_state:ok"));
  admin.disconnect();
  const cluster = new Cluster([{ host: "127.0.0.1", port: server.port }]);
  t.after(() => cluster.disconnect());
  const transport = redis(cluster);
  t.after(() => transport.close());
  await carries(transport);
  const all = await transport.open(specOf("all", { patterns: ["#"], definition: "#" }));
  await transport.publish(["a.x", "b.x", "c.x"].map((type) => ({ event: makeEvent(type) })));
  const leases = await all.pull(10, AbortSignal.timeout(5_000));
  assert.equal(leases.length, 3);
});
