import assert from "node:assert/strict";
import type { EventStore, StoredEvent } from "../../store/event-store.ts";
import { appendTo, type StoreCheck } from "../store-check.ts";

/** Follows a log by its wakes alone, as projections and relays do. */
function tail(store: EventStore): {
  readonly seen: StoredEvent[];
  readonly failure: () => unknown;
  readonly stop: () => void;
} {
  const seen: StoredEvent[] = [];
  let failure: unknown;
  let dirty = true;
  let running = false;
  const run = async (): Promise<void> => {
    if (running) return;
    running = true;
    try {
      while (dirty) {
        dirty = false;
        const after = seen.at(-1)?.position ?? 0;
        for await (const stored of store.read({ after })) seen.push(stored);
      }
    } catch (error) {
      failure = error;
    } finally {
      running = false;
    }
  };
  const stop = store.watch(() => {
    dirty = true;
    void run();
  });
  void run();
  return { seen, failure: () => failure, stop };
}

export const watchChecks: readonly StoreCheck[] = [
  {
    id: "S-16",
    name: "a watcher that tails while writers race sees every event once, in order, without a gap",
    async run({ store, peer, event, random, until }) {
      const other = await peer(store);
      const tails = [tail(store), tail(other)];
      const written: string[] = [];
      await Promise.all(
        Array.from({ length: 8 }, async (_, writer) => {
          for (let round = 0; round < 25; round += 1) {
            const through = random.next() < 0.5 ? store : other;
            const events = Array.from({ length: 1 + random.integer(3) }, () => event());
            written.push(...events.map(({ id }) => id));
            await through.commit(appendTo(`w${writer % 3}`, "any", ...events));
          }
        }),
      );
      for (const { seen, failure, stop } of tails) {
        await until(() => failure() ?? seen.length >= written.length, "the tail's end");
        stop();
        assert.equal(failure(), undefined);
        const positions = seen.map(({ position }) => position);
        assert.deepEqual(
          positions,
          positions.toSorted((left, right) => left - right),
        );
        assert.deepEqual(seen.map((stored) => stored.event.id).toSorted(), written.toSorted());
      }
    },
  },
  {
    id: "S-17",
    name: "a watcher is woken after a commit, sees it then, and is left alone after its end",
    async run({ store, event, until }) {
      let wakes = 0;
      let others = 0;
      const end = store.watch(() => (wakes += 1));
      const keep = store.watch(() => (others += 1));
      await store.commit(appendTo("a", 0, event()));
      await until(() => wakes > 0 && others > 0, "the first wake");
      end();
      end();
      const [before, othersBefore] = [wakes, others];
      await store.commit({ outbox: [event()] });
      await until(() => others > othersBefore, "the other watcher's wake");
      assert.equal(wakes, before);
      keep();
    },
  },
];
