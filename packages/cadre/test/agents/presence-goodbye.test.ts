/** Who ends while somebody looks: with a goodbye, or without one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryStore, systemClock, type EventStore } from "cadre";
import { PresenceObserver } from "#src/agents/presence.ts";
import type { TeamContext } from "#src/agents/team-context.ts";
import { changed } from "../changed.ts";
import { cardsSlot, pulseSlot } from "#src/agents/health/beat.ts";

const slots = [pulseSlot("p"), cardsSlot("p", 0)];

async function beats(store: EventStore): Promise<void> {
  const agent = { agent: "reader", incarnation: "p", capabilities: [], specializations: [] };
  const card = { ...agent, capacity: 1, load: 0, waiting: 0, state: "running" };
  const values = [JSON.stringify({ loopLagMs: 0, beatAt: 0 }), JSON.stringify([card])];
  const writes = slots.map(
    (name, at) => ({ name, expectedVersion: "any", value: values[at] }) as const,
  );
  await store.commit({ slots: writes });
}

for (const says of [true, false]) {
  test(`a process that ends ${says ? "with" : "without"} a goodbye while somebody looks`, async () => {
    const store = memoryStore();
    let isGone = false;
    let onAnswer = async (): Promise<void> => {};
    const slow = changed(store, {
      slots: async (prefix) => {
        const answer = await store.slots(prefix);
        await onAnswer();
        return answer;
      },
    });
    const timing = { heartbeatMs: 1_000, suspectAfterMs: 60_000, leaseMs: 120_000 };
    // What an observer uses of it.
    const context = { store: slow, clock: systemClock, ...timing } as unknown as TeamContext;
    const observer = new PresenceObserver(context, () => isGone);
    await beats(store);
    await observer.look();
    const edges: string[] = [];
    observer.watch(({ presence }) => void edges.push(presence));
    onAnswer = async () => {
      isGone = true;
      const gone = slots.map(
        (name) => ({ name, expectedVersion: "any", value: undefined }) as const,
      );
      if (says) await store.commit({ slots: gone });
    };
    await observer.look();
    assert.deepEqual(edges, [], "the answer is older than its end");
    await observer.look();
    assert.deepEqual(edges, [says ? "left" : "dead"]);
  });
}
