/** An archiver dies before or after any one call that it makes; the next one goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createEvent,
  memoryCarrier,
  memoryStore,
  secureRandom,
  VirtualClock,
  type AgentEvent,
  type EventStore,
  type Transport,
} from "cadre";
import { startArchive } from "cadre/outbox";
import { changed } from "../changed.ts";
import { Life, type When } from "./life.ts";

const leaseMs = 1_000;
const total = 12;

/** Nothing that a dead process asks for is answered, and what it is told it does not hear. */
function mortalStore(store: EventStore, life: Life): EventStore {
  return changed(store, { commit: (commit) => life.write(() => store.commit(commit)) });
}

function mortalTransport(transport: Transport, life: Life): Transport {
  return {
    name: transport.name,
    capabilities: transport.capabilities,
    publish: (batch) => transport.publish(batch),
    open: async (spec) => {
      const intake = await transport.open(spec);
      return {
        pull: async (max, signal) => {
          const leases = await life.write(() => intake.pull(max, signal));
          return leases.map((lease) => ({
            recorded: lease.recorded,
            attempt: lease.attempt,
            settle: (settlement) => life.write(() => lease.settle(settlement)),
            extend: (ms) => life.write(() => lease.extend(ms)),
          }));
        },
        close: () => intake.close(),
      };
    },
    close: () => transport.close(),
  };
}

interface Ending {
  readonly died: boolean;
  readonly published: readonly AgentEvent[];
  readonly kept: readonly AgentEvent[];
  readonly open: number;
}

async function runOnce(dieAt: number, when: When): Promise<Ending> {
  const clock = new VirtualClock();
  const carrier = memoryCarrier({ clock });
  const store = memoryStore({ clock });
  const start = async (life: Life): Promise<unknown> =>
    startArchive({
      transport: mortalTransport(carrier.connect(), life),
      store: mortalStore(store, life),
      clock,
      leaseMs,
      batch: 5,
    });
  const published = Array.from({ length: total }, (_, n) =>
    createEvent({ clock, random: secureRandom, source: "tester" }, "a.b", { n }),
  );
  const life = new Life(dieAt, when);
  await start(life);
  await carrier.connect().publish(published.map((event) => ({ event })));
  await clock.advance(2_000);
  const died = life.dead;
  life.dead = true;
  await start(new Life(0, "before"));
  await clock.advance(20 * leaseMs);
  const kept: AgentEvent[] = [];
  for await (const { event } of store.read()) kept.push(event);
  const [group] = await carrier.connect().groups!();
  return { died, published, kept, open: group?.open ?? 0 };
}

for (const when of ["before", "after"] as const) {
  test(`an archiver that dies ${when} any call loses nothing and doubles nothing`, async () => {
    let deaths = 0;
    for (let dieAt = 1; ; dieAt += 1) {
      const { died, published, kept, open } = await runOnce(dieAt, when);
      const where = `${when} call ${dieAt}`;
      const ids = kept.map(({ id }) => id);
      assert.deepEqual(new Set(ids), new Set(published.map(({ id }) => id)), `lost ${where}`);
      assert.equal(ids.length, total, `doubled ${where}`);
      assert.equal(open, 0, `not acked ${where}`);
      if (!died) break;
      deaths += 1;
    }
    assert.ok(deaths >= 15, `it died ${deaths} times`); // pulls, commits and acks of all
  });
}
