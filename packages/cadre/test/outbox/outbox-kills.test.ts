/** A relay of an outbox is killed before and after every call that it makes; another takes over. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { sqliteClient, VirtualClock, type AgentEvent, type SqlDatabase } from "cadre";
import { createInbox, createOutbox, startOutboxRelay } from "cadre/outbox";
import { Life, never, type When } from "./life.ts";

const perKey = 3;
const keys = ["a", "b", undefined];
const leaseMs = 1_000;

interface Ending {
  readonly died: boolean;
  readonly published: readonly AgentEvent[];
  readonly added: readonly AgentEvent[];
  readonly waiting: number;
}

function mortal(client: SqlDatabase, life: Life): SqlDatabase {
  return {
    dialect: client.dialect,
    query: (sql, params) => life.write(() => client.query(sql, params)),
    transaction: () => never(), // on SQLite a relay needs none
  };
}

async function runOnce(dieAt: number, when: When): Promise<Ending> {
  const clock = new VirtualClock();
  const client = sqliteClient(new DatabaseSync(":memory:"));
  const outbox = createOutbox({ clock });
  await outbox.setup(client);
  const added: AgentEvent[] = [];
  for (let n = 1; n <= perKey; n += 1) {
    for (const key of keys) {
      const options = key === undefined ? {} : { key };
      added.push(await outbox.add(client, { type: "a.b", payload: { n }, options }));
    }
  }
  const published: AgentEvent[] = [];
  let refusals = 2; // so that the calls after a refusal are among those killed at
  const start = (life: Life): unknown =>
    startOutboxRelay({
      outbox,
      client: mortal(client, life),
      clock,
      leaseMs,
      maxKeys: 4,
      bus: {
        publishEvent: (event) =>
          life.write(() => {
            if (refusals > 0 && event.metadata.key === "b") {
              refusals -= 1;
              return Promise.reject(new Error("not now"));
            }
            return Promise.resolve(void published.push(event));
          }),
        raise: () => {},
      },
    });
  const first = new Life(dieAt, when);
  start(first);
  await clock.advance(3_000);
  const died = first.dead;
  first.dead = true;
  start(new Life(0, "before"));
  await clock.advance(10 * leaseMs);
  const { waiting } = await outbox.backlog(client);
  return { died, published, added, waiting };
}

/** What a consumer with an inbox handles. */
async function handled(published: readonly AgentEvent[]): Promise<readonly AgentEvent[]> {
  const client = sqliteClient(new DatabaseSync(":memory:"));
  const inbox = createInbox();
  await inbox.setup(client);
  const events: AgentEvent[] = [];
  for (const event of published) {
    const mark = { subscription: "g", eventId: event.id };
    await inbox.once(client, mark, () => events.push(event));
  }
  return events;
}

test("a relay killed before or after any call loses nothing, and keeps each key's order", async (t) => {
  let points = 0;
  let duplicates = 0;
  // All the work is done within so many calls; then there are only looks that find nothing.
  for (let dieAt = 1; dieAt <= 40; dieAt += 1) {
    const endings = [await runOnce(dieAt, "before"), await runOnce(dieAt, "after")];
    for (const { died, published, added, waiting } of endings) {
      assert.equal(died, true, `there is no call ${dieAt}`);
      points += 1;
      const events = await handled(published);
      duplicates += published.length - events.length;
      assert.equal(waiting, 0, `rows wait after a kill at call ${dieAt}`);
      assert.deepEqual(new Set(events), new Set(added), `killed at call ${dieAt}`);
      for (const key of keys.filter((each) => each !== undefined)) {
        const numbers = events
          .filter(({ metadata }) => metadata.key === key)
          .map(({ payload }) => (payload as { n: number }).n);
        assert.deepEqual(numbers, [1, 2, 3], `the order of ${key}, killed at call ${dieAt}`);
      }
    }
  }
  assert.ok(duplicates > 0, "a kill between publishing and marking publishes again");
  t.diagnostic(`${points} kills, ${duplicates} duplicates removed`);
});
