import assert from "node:assert/strict";
import type { AgentEvent } from "../../core/event.ts";
import type { OnRetry } from "../../bus/transport.ts";
import type { CheckContext, ConformanceCheck } from "../conformance-check.ts";
import { needsOrder } from "../undeclared.ts";

interface Numbered {
  readonly at: number;
}

function numberOf(event: AgentEvent): number {
  return (event.payload as Numbered).at;
}

function keyOf(event: AgentEvent): string {
  return event.metadata.key ?? "";
}

async function keysKeepOrder(context: CheckContext): Promise<void> {
  const [type, group] = [context.topic("ordered"), context.group()];
  const seen = new Map<string, number[]>();
  const running = new Set<string>();
  let total = 0;
  const ordered = context.capabilities.keyOrder[0]!;
  for (let member = 0; member < 4; member += 1) {
    const bus = await context.createBus();
    await bus.subscribe(type, { group, ordered, concurrency: 4 }, async (event) => {
      const key = keyOf(event);
      assert.ok(!running.has(key), `two events of ${key} at once`);
      running.add(key);
      await Promise.resolve();
      const numbers = seen.get(key) ?? [];
      seen.set(key, [...numbers, numberOf(event)]);
      running.delete(key);
      total += 1;
    });
  }
  const publisher = await context.createBus();
  const items = Array.from({ length: 1_000 }, (_, at) => ({
    type,
    payload: { at },
    options: { key: `k${at % 16}` },
  }));
  await publisher.publishBatch(items);
  await context.until(() => total === 1_000, { withinMs: 20_000 });
  for (const numbers of seen.values())
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
}

/**
 * What a failing event may do to those behind it, against random failures from the check's seed.
 */
async function orderUnderFailure(context: CheckContext, ordered: OnRetry): Promise<void> {
  const [type, group] = [context.topic(ordered), context.group()];
  const bus = await context.createBus();
  const retry = { maxAttempts: 8, minDelayMs: 1, maxDelayMs: 3, jitter: 1 };
  const attempts: { key: string; at: number; ok: boolean }[] = [];
  const done = new Set<number>();
  await bus.subscribe(type, { group, ordered, concurrency: 8, retry }, (event, { attempt }) => {
    const [key, at] = [keyOf(event), numberOf(event)];
    const ok = attempt > 3 || context.random.next() > 0.3;
    attempts.push({ key, at, ok });
    if (!ok) throw new Error("by chance");
    done.add(at);
  });
  for (let at = 0; at < 120; at += 1) await bus.publish(type, { at }, { key: `k${at % 5}` });
  await context.until(() => done.size === 120, { withinMs: 20_000 });
  if (ordered === "skip") {
    // Later events may pass one that waits for its retry; first attempts still come in order.
    const firsts = new Map<string, number>();
    const met = new Set<number>();
    for (const { key, at } of attempts) {
      if (met.has(at)) continue;
      met.add(at);
      assert.ok((firsts.get(key) ?? -1) < at, `${key}: first attempts out of order`);
      firsts.set(key, at);
    }
    return;
  }
  // Nothing behind an event is tried before it has succeeded.
  const open = new Map<string, number>();
  for (const { key, at, ok } of attempts) {
    const waitedFor = open.get(key) ?? at;
    assert.equal(at, waitedFor, `${key}: ${at} was tried while ${waitedFor} was open`);
    open.set(key, ok ? at + 5 : at);
  }
}

/** The modes in which nothing passes a failing event of its key. */
const strict = ["block", "park-key"] as const;

export const orderChecks: readonly ConformanceCheck[] = [
  {
    id: "T-48c",
    name: "16 keys keep their order over four members with four handlers each",
    level: "bus",
    needs: needsOrder("block", "park-key", "skip"),
    run: keysKeepOrder,
  },
  {
    id: "T-49d",
    name: "under random failures nothing passes an event of its key, in block and in park-key",
    level: "bus",
    needs: needsOrder(...strict),
    run: async (context) => {
      for (const mode of strict) {
        if (context.capabilities.keyOrder.includes(mode)) await orderUnderFailure(context, mode);
      }
    },
  },
  {
    id: "T-49e",
    name: "under random failures first attempts keep the order of their key, in skip",
    level: "bus",
    needs: needsOrder("skip"),
    run: (context) => orderUnderFailure(context, "skip"),
  },
];
