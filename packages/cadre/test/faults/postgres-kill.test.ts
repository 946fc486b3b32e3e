/**
 * Processes that publish and consume through one Postgres log, and the server itself, are killed at
 * random instants; processes freeze past their leases; members come and go. Every event whose
 * publish had resolved is delivered, and no receipt is there twice.
 *
 * CADRE_KILL_ROUNDS sets the number of kills (20 unless set), CADRE_SEED repeats their order.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { systemClock } from "cadre";
import { openPostgres } from "cadre/postgres";
import {
  postgresServerPath,
  startPostgresServer,
  type PostgresServer,
} from "../servers/postgres-server.ts";
import { withTempFolder } from "../servers/temporary.ts";
import {
  assertHandledOnce,
  killInRounds,
  killMember,
  publishedIds,
  seededRandom,
  startMember,
  stopMember,
  type KillRun,
} from "./kill-run.ts";

const rounds = Number(process.env["CADRE_KILL_ROUNDS"] ?? 20);
const skip = postgresServerPath() === undefined && "there is no postgres here";
const leaseMs = 1_000;

/** A server and a folder of the test's own, and what became of the events after `act`. */
async function scenario(
  t: TestContext,
  act: (
    run: KillRun,
    server: PostgresServer,
  ) => Promise<{ readonly publishers: ChildProcess[]; readonly consumers: ChildProcess[] }>,
): Promise<void> {
  await withTempFolder(async (folder) => {
    await using server = await startPostgresServer();
    const run: KillRun = { url: server.url, published: join(folder, "published.txt"), leaseMs };
    const { publishers, consumers } = await act(run, server);
    await Promise.all(publishers.map(killMember));
    const published = publishedIds(run);
    assert.ok(published.length > 100, "too little was published to show anything");
    const log = await openPostgres(server.url);
    try {
      await assertHandledOnce(t, log, published, consumers);
    } finally {
      await Promise.all(consumers.map(killMember));
      await log.close();
    }
  });
}

test(
  "no event whose publish had resolved is lost to kills, and none is handled twice",
  { skip },
  (t) =>
    scenario(t, async (run) => {
      const running = await killInRounds(run, seededRandom(t), { rounds, pauseMs: 100 });
      return {
        publishers: running.filter(([role]) => role === "publish").map(([, each]) => each),
        consumers: running.filter(([role]) => role === "consume").map(([, each]) => each),
      };
    }),
);

test("a server that is killed under load loses nothing that had resolved", { skip }, (t) =>
  scenario(t, async (run, server) => {
    const random = seededRandom(t);
    const publishers = await Promise.all([
      startMember("publish", run),
      startMember("publish", run),
    ]);
    const consumers = await Promise.all([startMember("consume", run), startMember("consume", run)]);
    for (let round = 0; round < Math.ceil(rounds / 4); round += 1) {
      await systemClock.sleep(300 + random.next() * 500);
      await server.kill();
      await systemClock.sleep(random.next() * 200);
      await server.restart();
    }
    await systemClock.sleep(1_500); // they have found it again
    return { publishers, consumers };
  }),
);

test("a process that freezes past its leases and thaws has lost them", { skip }, (t) =>
  scenario(t, async (run) => {
    const publishers = [await startMember("publish", run)];
    const consumers = await Promise.all([startMember("consume", run), startMember("consume", run)]);
    for (let round = 0; round < Math.ceil(rounds / 5); round += 1) {
      const frozen = consumers[round % 2]!;
      await systemClock.sleep(200);
      frozen.kill("SIGSTOP");
      await systemClock.sleep(leaseMs * 1.5);
      frozen.kill("SIGCONT");
    }
    return { publishers, consumers };
  }),
);

test("members that come and go, from two to three to one, lose and double nothing", { skip }, (t) =>
  scenario(t, async (run) => {
    const publishers = [await startMember("publish", run)];
    const first = await Promise.all([startMember("consume", run), startMember("consume", run)]);
    await systemClock.sleep(500);
    const last = await startMember("consume", run);
    await systemClock.sleep(500);
    for (const member of first) await stopMember(member);
    await systemClock.sleep(500);
    return { publishers, consumers: [last] };
  }),
);
