import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { isCadreError, type CadreError } from "cadre";
import { defineConfig, loadConfig, type LoadConfigOptions } from "cadre/config";
import { runCli, temporaryFolder } from "./run-cli.ts";

function folderWith(context: TestContext, name: string, text: string): string {
  const cwd = temporaryFolder(context);
  writeFileSync(join(cwd, name), text);
  return cwd;
}

async function refusal(options: LoadConfigOptions): Promise<CadreError<"INVALID_CONFIG">> {
  try {
    await loadConfig(options);
  } catch (error) {
    if (isCadreError(error, "INVALID_CONFIG")) return error;
    throw error;
  }
  throw new Error("the configuration was taken");
}

test("without a file and variables nothing is configured", async (context) => {
  const cwd = temporaryFolder(context);
  assert.deepEqual(await loadConfig({ cwd, env: {} }), { config: {}, sources: {} });
});

test("a TypeScript, a JavaScript and a JSON file are read", async (context) => {
  const files = {
    "cadre.config.ts": `const name: string = "ts"; export default { name, leaseMs: 9_000 };`,
    "cadre.config.js": `export default { name: "js", leaseMs: 9_000 };`,
    "cadre.config.json": `{ "name": "json", "leaseMs": 9000 }`,
  };
  for (const [file, text] of Object.entries(files)) {
    const cwd = folderWith(context, file, text);
    const loaded = await loadConfig({ cwd, env: {} });
    assert.deepEqual(loaded.config, { name: file.split(".").at(-1), leaseMs: 9_000 });
    assert.equal(loaded.file, join(cwd, file));
    assert.equal(loaded.sources["name"], join(cwd, file));
  }
});

test("code wins over the file, the environment over both, a flag over all", async (context) => {
  const cwd = folderWith(
    context,
    "cadre.config.json",
    JSON.stringify({ name: "file", store: "sqlite:file.db", bus: "memory:", leaseMs: 7_000 }),
  );
  const { config, sources } = await loadConfig({
    cwd,
    config: { name: "code", store: "sqlite:code.db", bus: "sqlite:code.db" },
    env: { CADRE_STORE: "sqlite:env.db", CADRE_BUS: "nats://localhost:4222" },
    flags: { bus: "sqlite:flag.db" },
  });
  assert.deepEqual(config, {
    name: "code",
    store: "sqlite:env.db",
    bus: "sqlite:flag.db",
    leaseMs: 7_000,
  });
  assert.deepEqual(sources, {
    name: "code",
    store: "CADRE_STORE",
    bus: "--bus",
    leaseMs: join(cwd, "cadre.config.json"),
  });
});

test("every variable is read as its type", async (context) => {
  const cwd = temporaryFolder(context);
  const env = {
    CADRE_STORE: "memory:",
    CADRE_BUS: "memory:",
    CADRE_NAME: "desk",
    CADRE_HEARTBEAT_MS: "100",
    CADRE_SUSPECT_AFTER_MS: "300",
    CADRE_LEASE_MS: "500",
    CADRE_ORCHESTRATOR: "no",
  };
  assert.deepEqual((await loadConfig({ cwd, env })).config, {
    store: "memory:",
    bus: "memory:",
    name: "desk",
    heartbeatMs: 100,
    suspectAfterMs: 300,
    leaseMs: 500,
    orchestrator: false,
  });
});

test("an impossible value names key, value, place and what is allowed", async (context) => {
  const cwd = temporaryFolder(context);
  const cases: [Record<string, string>, string, unknown, string, RegExp][] = [
    [{ CADRE_LEASE_MS: "soon" }, "leaseMs", "soon", "CADRE_LEASE_MS", /whole number/],
    [{ CADRE_HEARTBEAT_MS: "0" }, "heartbeatMs", 0, "CADRE_HEARTBEAT_MS", /at least 1/],
    [
      { CADRE_ORCHESTRATOR: "maybe" },
      "orchestrator",
      "maybe",
      "CADRE_ORCHESTRATOR",
      /true or false/,
    ],
    [{ CADRE_STORE: "mysql://x" }, "store", "mysql://x", "CADRE_STORE", /sqlite:PATH/],
    [{ CADRE_BUS: "team.db" }, "bus", "team.db", "CADRE_BUS", /nats:\/\//],
    [{ CADRE_LEASE_MS: "3000" }, "leaseMs", 3_000, "CADRE_LEASE_MS", /at least 4000/],
    [
      { EVENT_BUS_TYPE: "carrier-pigeon" },
      "event_bus.type",
      "carrier-pigeon",
      "EVENT_BUS_TYPE",
      /kafka/,
    ],
    [
      { EVENT_DRIVEN_MODE: "perhaps" },
      "EVENT_DRIVEN_MODE",
      "perhaps",
      "EVENT_DRIVEN_MODE",
      /true or false/,
    ],
    [
      { EVENT_BUS_TYPE: "kafka", KAFKA_BOOTSTRAP_SERVERS: "a b" },
      "bootstrap_servers",
      "a b/",
      "KAFKA_BOOTSTRAP_SERVERS",
      /HOST:PORT/,
    ],
    [
      { EVENT_BUS_TYPE: "kafka", KAFKA_BOOTSTRAP_SERVERS: "a:1", KAFKA_MAX_WORKERS: "0" },
      "max_workers",
      "0",
      "KAFKA_MAX_WORKERS",
      /at least 1/,
    ],
    [{ EVENT_BUS_TYPE: "kafka" }, "bootstrap_servers", undefined, "EVENT_BUS_TYPE", /HOST:PORT/],
  ];
  for (const [given, key, value, from, allowed] of cases) {
    const env: Record<string, string> = { ...given };
    if (key === "bootstrap_servers" && value === "a b/") env["KAFKA_BOOTSTRAP_SERVERS"] = "a b/";
    const { details, message } = await refusal({ cwd, env });
    assert.equal(details.key, key);
    assert.equal(details.value, value);
    assert.equal(details.from, from);
    assert.match(details.allowed, allowed);
    assert.ok(message.includes(key) && message.includes(from), message);
  }
});

test("an unknown setting, or a null, is refused with the file's path", async (context) => {
  const wrong = folderWith(context, "cadre.config.json", `{ "heartbeat_ms": 5 }`);
  const unknown = await refusal({ cwd: wrong, env: {} });
  assert.match(
    unknown.message,
    /no setting "heartbeat_ms" \(.*cadre\.config\.json\)\. Did you mean "heartbeatMs"\?/,
  );
  const empty = folderWith(context, "cadre.config.json", `{ "store": null }`);
  assert.equal((await refusal({ cwd: empty, env: {} })).details.key, "store");
  const list = folderWith(context, "cadre.config.json", `[1]`);
  assert.match((await refusal({ cwd: list, env: {} })).message, /Give an object/);
});

test("a file that cannot be loaded is named with the reason", async (context) => {
  const cwd = folderWith(context, "cadre.config.ts", `throw new Error("no coffee");`);
  assert.match((await refusal({ cwd, env: {} })).message, /cannot be read: .*no coffee/);
});

test("the older file shape and the older variables become a Kafka URL", async (context) => {
  const cwd = folderWith(
    context,
    "cadre.config.json",
    JSON.stringify({
      event_bus: {
        type: "kafka",
        config: {
          bootstrap_servers: "one:9092,two:9092",
          topic_prefix: "maf.",
          consumer_group: "team",
        },
      },
    }),
  );
  const busOf = async (env: Record<string, string>): Promise<unknown> =>
    (await loadConfig({ cwd, env })).config.bus;
  assert.equal(await busOf({}), "kafka://one:9092,two:9092?prefix=maf&group=team");
  assert.equal(
    await busOf({ KAFKA_CONSUMER_GROUP: "night", KAFKA_MAX_WORKERS: "4" }),
    "kafka://one:9092,two:9092?prefix=maf&group=night&workers=4",
  );
  assert.equal(
    await busOf({ EVENT_BUS_TYPE: "KAFKA", KAFKA_BOOTSTRAP_SERVERS: "three:9092" }),
    "kafka://three:9092?prefix=maf&group=team",
  );
  assert.match(
    (await loadConfig({ cwd, env: {} })).warnings?.join() ?? "",
    /older form \(.*cadre\.config\.json\)\. It is read as bus: "kafka:\/\/one:9092.*x\.# here\.$/,
  );
  assert.equal((await loadConfig({ cwd, env: { CADRE_BUS: "memory:" } })).warnings, undefined);
  assert.equal(await busOf({ EVENT_BUS_TYPE: "memory" }), "memory:");
  assert.equal(await busOf({ EVENT_DRIVEN_MODE: "false" }), undefined);
  assert.equal(await busOf({ CADRE_BUS: "nats://here:4222" }), "nats://here:4222");
});

test("a field of the older shape that does not exist is refused with the nearest one", async () => {
  const config = defineConfig({
    event_bus: { type: "kafka", config: { bootstrap_servers: "a:1" } },
  });
  assert.equal((await loadConfig({ config, env: {}, cwd: "/" })).config.bus, "kafka://a:1");
  const wrong = { event_bus: { type: "kafka", config: { boostrap_servers: "a:1" } } };
  // @ts-expect-error the field is misspelled
  const { message } = await refusal({ config: wrong, env: {}, cwd: "/" });
  assert.match(message, /event_bus\.config\.boostrap_servers.*"bootstrap_servers"\?/);
});

test("a registry of the configuration file checks what is published", async (context) => {
  const cwd = folderWith(context, "cadre.config.ts", "");
  mkdirSync(join(cwd, "node_modules"));
  const { symlinkSync } = await import("node:fs");
  const { fileURLToPath } = await import("node:url");
  symlinkSync(
    fileURLToPath(new URL("../../", import.meta.url)),
    join(cwd, "node_modules", "cadre"),
  );
  writeFileSync(
    join(cwd, "cadre.config.ts"),
    `import { defineEvents } from "cadre";
     import { defineConfig } from "cadre/config";
     const order = { type: "object", required: ["orderId"] };
     export default defineConfig({
       store: "sqlite:orders.db",
       events: defineEvents({
         "order.placed": { schema: order, description: "Somebody ordered." },
       }),
     });`,
  );
  const refused = await runCli(["publish", "order.placed", "{}"], { cwd });
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /orderId/);
  const unknown = await runCli(["publish", "order.plcaed", "{}"], { cwd });
  assert.match(unknown.stderr, /UNKNOWN_TYPE/);
  const taken = await runCli(["publish", "order.placed", '{"orderId":"o-1"}'], { cwd });
  assert.equal(taken.code, 0, taken.stderr);
  assert.equal(taken.stderr, "");
  const schemas = await runCli(["schemas"], { cwd });
  assert.match(schemas.stdout, /^order\.placed +1\.0\.0 +Somebody ordered\.$/m);
});

test("a bus may have every scheme that a team can open", async () => {
  const urls = [
    ...["memory:", "sqlite:team.db", "postgres://db/team", "postgresql://db/team"],
    ...["nats://one:4222", "tls://one:4222", "amqp://one", "amqps://one", "redis://one"],
    ...["rediss://one", "kafka://one:9092", "kafkas://one:9092", "eventbridge://eu-central-1/team"],
    "eventbridge://",
  ];
  for (const bus of urls) {
    assert.equal((await loadConfig({ cwd: "/", env: { CADRE_BUS: bus } })).config.bus, bus);
  }
});
