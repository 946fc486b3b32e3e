/** The suite on a real server whose connections break, and each of its checks several times. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { postgres } from "cadre/postgres";
import { transportConformance, type HoldingConsumer } from "cadre/testing";
import type { ConsumeSpec } from "#src/bus/transport.ts";
import { postgresServerPath, startPostgresServer } from "../servers/postgres-server.ts";
import { startFaultyLink } from "./faulty-link.ts";

const holder = fileURLToPath(new URL("holding-member.ts", import.meta.url));

async function startHolder(url: string, spec: ConsumeSpec): Promise<HoldingConsumer> {
  const process = fork(holder, [url, JSON.stringify(spec)]);
  let held = 0;
  process.on("message", (count) => (held = Number(count)));
  await once(process, "message");
  return {
    held: async () => held,
    kill: async () => {
      const ended = once(process, "exit");
      process.kill("SIGKILL");
      await ended;
    },
  };
}

if (postgresServerPath() === undefined) {
  test("the suite with faults", { skip: "there is no postgres here" }, () => {});
} else {
  const server = await startPostgresServer({ settings: ["max_connections = 400"] });
  const link = await startFaultyLink(server.port);
  after(async () => {
    await link.close();
    await server.stop();
  });
  const throughLink = server.url.replace(String(server.port), String(link.port));
  await transportConformance({
    test,
    createTransport: () => postgres(throughLink, { connection: { query_timeout: 3_000 } }),
    restart: () => server.restart(),
    cut: () => link.cut(),
    freeze: () => link.freeze(),
    slow: (ms) => link.slow(ms),
    startConsumer: (spec) => startHolder(server.url, spec),
    only: ["T-6", "T-24", "T-35", "T-70", "T-71", "T-72", "T-73", "T-74"],
  });
  await transportConformance({
    test,
    createTransport: () => postgres(server.url, { maxConnections: 4 }),
    tier: "all",
    parallel: 3,
    leaseMs: 1_000,
    boundMs: 40_000,
    timeoutMs: 180_000,
  });
}
