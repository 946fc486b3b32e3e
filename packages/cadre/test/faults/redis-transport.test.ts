/** The suite on a real server whose connections break, freeze and are slow. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { redis } from "cadre/redis";
import { transportConformance, type HoldingConsumer } from "cadre/testing";
import type { ConsumeSpec } from "#src/bus/transport.ts";
import { redisServerPath, startRedisServer } from "../servers/redis-server.ts";
import { startFaultyLink } from "./faulty-link.ts";

const holder = fileURLToPath(new URL("redis-holder.ts", import.meta.url));

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

if (redisServerPath() === undefined) {
  test("the suite with faults", { skip: "there is no redis-server here" }, () => {});
} else {
  const server = await startRedisServer();
  const link = await startFaultyLink(server.port);
  after(async () => {
    await link.close();
    await server.stop();
  });
  await transportConformance({
    test,
    createTransport: () =>
      redis(`redis://127.0.0.1:${link.port}`, { durable: "disk", requestTimeoutMs: 3_000 }),
    restart: () => server.restart(),
    cut: () => link.cut(),
    freeze: () => link.freeze(),
    slow: (ms) => link.slow(ms),
    startConsumer: (spec) => startHolder(server.url, spec),
    only: ["T-6", "T-24", "T-35", "T-70", "T-71", "T-72", "T-73", "T-74", "T-80"],
  });
}
