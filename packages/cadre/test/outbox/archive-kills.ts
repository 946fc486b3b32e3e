/** An archiver is killed with SIGKILL again and again while others publish. */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  createEvent,
  secureRandom,
  systemClock,
  type AgentEvent,
  type EventStore,
  type Transport,
} from "cadre";
import { openSqlite } from "cadre/sqlite";
import { verifyArchive } from "cadre/outbox";
import { until } from "../until.ts";
import { withTempFolder } from "../servers/temporary.ts";

const script = fileURLToPath(new URL("archive-process.ts", import.meta.url));
const lifeMs = 250; // of an archiver, from its first event on
const mostMs = 60_000;

interface Scene {
  readonly url: string;
  readonly connect: () => Transport;
  readonly kills: number;
}

export interface Outcome {
  readonly published: number;
  readonly kills: number;
  /** Kills by which the archiver had written something since the last one. */
  readonly bites: number;
}

/** Publishes until the last kill, and asserts that the store has each event once. */
export async function killArchivers({ url, connect, kills }: Scene): Promise<Outcome> {
  return withTempFolder(async (folder) => {
    const file = join(folder, "archive.db");
    const transport = connect();
    const done = new AbortController();
    const published: AgentEvent[] = [];
    const { store, close } = await openSqlite(`sqlite:${file}`);
    let child = await startArchiver(url, file); // its group is there before anything is published
    const publishing = publishAll(transport, published, done.signal);
    let bites = 0;
    for (let kill = 1; kill <= kills; kill += 1) {
      const before = await store.head();
      await until(async () => (await store.head()) > before, "an event more", mostMs);
      await systemClock.sleep(secureRandom.integer(lifeMs));
      bites += Number((await store.head()) > before);
      await end(child);
      child = await startArchiver(url, file);
    }
    done.abort();
    await publishing;
    await until(
      async () => (await missingOf(store, published)).length === 0,
      "all of them",
      mostMs,
    );
    const counts = await countsOf(store);
    assert.equal(counts.size, published.length, "nothing is there that nobody published");
    assert.ok(
      [...counts.values()].every((count) => count === 1),
      "nothing is there twice",
    );
    if (transport.read) assert.equal((await verifyArchive({ transport, store })).ok, true);
    await end(child);
    await close();
    await transport.close();
    return { published: published.length, kills, bites };
  });
}

async function startArchiver(url: string, file: string): Promise<ChildProcess> {
  const child = fork(script, [url, file], { execArgv: process.execArgv });
  await Promise.race([
    once(child, "message"),
    once(child, "exit").then(() => assert.fail("the archiver ended by itself")),
  ]);
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

async function publishAll(
  transport: Transport,
  published: AgentEvent[],
  done: AbortSignal,
): Promise<void> {
  const context = { clock: systemClock, random: secureRandom, source: "publisher" };
  for (let n = 0; !done.aborted; n += 1) {
    const events = Array.from({ length: 10 }, () => createEvent(context, "kill.counted", { n }));
    const results = await transport.publish(events.map((event) => ({ event })));
    for (const [at, event] of events.entries()) if (results[at]!.ok) published.push(event);
    await systemClock.sleep(5);
  }
}

async function countsOf(store: EventStore): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for await (const { event } of store.read()) {
    counts.set(event.id, (counts.get(event.id) ?? 0) + 1);
  }
  return counts;
}

async function missingOf(store: EventStore, events: readonly AgentEvent[]): Promise<string[]> {
  const counts = await countsOf(store);
  return events.map(({ id }) => id).filter((id) => !counts.has(id));
}
