/**
 * Projections of every kind in every process: a fold with checkpoints, and rows of one's own that
 * commit together with the position that they are at, while tasks go on.
 */
import type { Cadre } from "../../agents/cadre.ts";
import { defineAgent } from "../../agents/define-agent.ts";
import { defineTask } from "../../agents/define-task.ts";
import { isCadreError } from "../../core/errors.ts";
import { type } from "../../core/event-definition.ts";
import type { EventStore } from "../../store/event-store.ts";
import { defineProjection } from "../../store/projection.ts";
import type { Scenario, SimulatedProcess } from "../sim-options.ts";

const maxAttempts = 30;
const Sell = defineTask({
  name: "sell",
  input: type<{ readonly item: string; readonly amount: number }>(),
  output: type<number>(),
  maxAttempts,
});
const items = ["tea", "rice", "salt"];
const sales = 12;

const shop = defineAgent({ name: "shop", capacity: 3 }).does(Sell, async (sale, ctx) => {
  await ctx.publish("custom.sold", sale);
  await ctx.clock.sleep(400);
  return sale.amount;
});

interface Sale {
  readonly item: string;
  readonly amount: number;
}

const totals = defineProjection<Readonly<Record<string, number>>>({
  name: "totals",
  patterns: ["custom.sold"],
  initial: {},
  apply: (sums, event) => {
    const { item, amount } = event.payload as Sale;
    return { ...sums, [item]: (sums[item] ?? 0) + amount };
  },
});

const rowPrefix = "sold/row/";
const placeSlot = "sold/checkpoint";
const batch = 3; // events in one commit
const pollMs = 1_000;

/** One batch of the log into the rows. Answers whether there was anything to do. */
async function foldRows(store: EventStore): Promise<boolean> {
  const place = await store.slot(placeSlot);
  const after = Number(place?.value ?? 0);
  const found = [];
  for await (const stored of store.read({ type: "custom.sold", after, limit: batch })) {
    found.push(stored);
  }
  const last = found.at(-1);
  if (!last) return false;
  const sums = new Map<string, number>();
  for (const { event } of found) {
    const { item, amount } = event.payload as Sale;
    sums.set(item, (sums.get(item) ?? 0) + amount);
  }
  const slots = [];
  for (const [item, amount] of sums) {
    const row = await store.slot(rowPrefix + item);
    const value = String(Number(row?.value ?? 0) + amount);
    slots.push({ name: rowPrefix + item, expectedVersion: row?.version ?? 0, value });
  }
  const at = { name: placeSlot, expectedVersion: place?.version ?? 0 };
  slots.push({ ...at, value: String(last.position) });
  await store.commit({ slots });
  return true;
}

/** Folds for as long as the process lives. Any number of processes do: one wins each batch. */
async function keepRows({ store, clock }: SimulatedProcess): Promise<{ close(): Promise<void> }> {
  const stop = new AbortController();
  const keep = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        if (await foldRows(store)) continue;
      } catch (error) {
        // Another process was quicker, or the store is in trouble: look again.
        if (!isCadreError(error)) throw error;
      }
      await clock.sleep(pollMs, stop.signal).catch(() => undefined);
    }
  };
  const kept = keep();
  return {
    close: () => {
      stop.abort();
      return kept;
    },
  };
}

async function work(team: Cadre): Promise<void> {
  const tasks = [];
  for (let n = 1; n <= sales; n += 1) {
    const sale = { item: items[n % items.length]!, amount: n };
    tasks.push(await team.tasks.create(Sell, sale, { id: `sale-${n}` }));
  }
  for (const task of tasks) await task.result();
}

async function rowsAreRight(store: EventStore): Promise<readonly string[]> {
  const sums = new Map<string, number>(items.map((item) => [item, 0]));
  for await (const { event } of store.read({ type: "custom.sold" })) {
    const { item, amount } = event.payload as Sale;
    sums.set(item, (sums.get(item) ?? 0) + amount);
  }
  const wrong: string[] = [];
  for (const [item, sum] of sums) {
    const row = Number((await store.slot(rowPrefix + item))?.value ?? 0);
    if (row !== sum) wrong.push(`the row of ${item} says ${row}, and ${sum} were sold`);
  }
  return wrong;
}

/** See the head of the file. The rows are slots `sold/row/…`, beside the slot `sold/checkpoint`. */
export const projection: Scenario = {
  agents: () => [shop],
  work,
  projections: [totals],
  beside: (process) => keepRows(process),
  invariants: [rowsAreRight],
};
