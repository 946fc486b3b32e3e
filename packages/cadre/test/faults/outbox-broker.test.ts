/**
 * Processes that handle a broker's events with a store of their own are killed at random instants,
 * and so is the broker. Every event whose publish had resolved has one receipt in the store, and
 * one answer that every reader of the broker knows by its one id.
 *
 * CADRE_KILL_ROUNDS sets the number of kills (20 unless set), CADRE_SEED repeats their order.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { secureRandom, SeededRandom, systemClock } from "cadre";
import { nats } from "cadre/nats";
import { openSqlite } from "cadre/sqlite";
import { natsServerPath, startNatsServer, type NatsServer } from "../servers/nats-server.ts";
import { withTempFolder } from "../servers/temporary.ts";

const member = fileURLToPath(new URL("outbox-broker-member.ts", import.meta.url));
const rounds = Number(process.env["CADRE_KILL_ROUNDS"] ?? 20);
const drainBoundMs = 90_000;
const brokerKillOneIn = 5;

type Role = "publish" | "consume";

interface Place {
  readonly broker: NatsServer;
  readonly store: string;
  readonly published: string;
}

async function start(role: Role, { broker, store, published }: Place): Promise<ChildProcess> {
  const child = fork(member, [role, broker.url, role === "publish" ? published : store]);
  const [message] = await Promise.race([
    once(child, "message"),
    once(child, "exit").then(([code]) => [`it ended with ${code}`]),
  ]);
  assert.equal(message, "ready", `a process that should ${role}`);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

const roles: readonly Role[] = ["publish", "consume", "consume"];

async function killInRounds(t: TestContext, place: Place): Promise<ChildProcess[]> {
  const seed = Number(process.env["CADRE_SEED"] ?? secureRandom.integer(2 ** 32));
  const random = new SeededRandom(seed);
  t.diagnostic(`${rounds} kills, CADRE_SEED=${seed}`);
  const running = await Promise.all(roles.map((role) => start(role, place)));
  for (let round = 0; round < rounds; round += 1) {
    await systemClock.sleep(random.next() * 400);
    if (random.integer(brokerKillOneIn) === 0) {
      await place.broker.kill();
      await systemClock.sleep(random.next() * 300);
      await place.broker.restart();
    } else {
      const victim = random.integer(roles.length);
      await kill(running[victim]!);
      running[victim] = await start(roles[victim]!, place);
    }
  }
  return running;
}

function publishedIds({ published }: Place): string[] {
  if (!existsSync(published)) return [];
  return readFileSync(published, "utf8").split("\n").filter(Boolean);
}

/** How many different answers the broker has for each event. */
async function countAnswers({ broker }: Place): Promise<Map<string, number>> {
  const transport = nats(broker.url);
  const answers = new Map<string, Set<string>>();
  for await (const { event } of transport.read!({ type: "work.answered" })) {
    if (event?.type !== "work.answered") continue;
    const { of } = event.payload as { readonly of: string };
    answers.set(of, (answers.get(of) ?? new Set()).add(event.id));
  }
  await transport.close();
  return new Map([...answers].map(([of, ids]) => [of, ids.size]));
}

const skip = natsServerPath() === undefined ? "there is no nats-server here" : false;

test("with a broker and a store, kills lose nothing and double nothing", { skip }, async (t) => {
  await withTempFolder(async (folder) => {
    await using broker = await startNatsServer();
    const place = {
      broker,
      store: join(folder, "store.db"),
      published: join(folder, "published.txt"),
    };
    const running = await killInRounds(t, place);
    await kill(running[0]!);
    const ids = publishedIds(place);
    assert.ok(ids.length > rounds, "too little was published to show anything");
    const deadline = systemClock.monotonic() + drainBoundMs;
    let answers = await countAnswers(place);
    while (ids.some((id) => !answers.has(id))) {
      assert.ok(systemClock.monotonic() < deadline, "not everything is answered");
      await systemClock.sleep(500);
      answers = await countAnswers(place);
    }
    await Promise.all(running.map(kill));
    const { store, close } = await openSqlite(place.store);
    for (const id of ids)
      assert.equal(await store.version(`receipts/${id}`), 1, `receipts of ${id}`);
    for (const [id, count] of answers) assert.equal(count, 1, `answers to ${id}`);
    await close();
    t.diagnostic(`${ids.length} events, each with one receipt and one answer`);
  });
});
