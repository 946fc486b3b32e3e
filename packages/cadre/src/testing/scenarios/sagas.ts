/**
 * Orders over stock, ledger and shipping: some are declined by the ledger, some cannot be shipped,
 * one is cancelled; what was done is undone, or the order is complete.
 */
import assert from "node:assert/strict";

import type { AgentDefinition } from "../../agents/agent.ts";
import type { Cadre } from "../../agents/cadre.ts";
import { defineAgent } from "../../agents/define-agent.ts";
import { defineTask } from "../../agents/define-task.ts";
import type { Clock } from "../../core/clock.ts";
import { TerminalError } from "../../core/errors.ts";
import { type } from "../../core/event-definition.ts";
import type { Scenario } from "../sim-options.ts";

const maxAttempts = 30; // the store fails often here, and each failure may cost an attempt
const Order = defineTask({
  name: "order",
  input: type<number>(),
  output: type<string>(),
  maxAttempts,
});
const orders = [1, 2, 3, 4, 5, 6];
const declined = 3; // the ledger refuses every third order
const unshippable = 5; // and nobody can ship the fifth
const cancelled = 4; // somebody changes their mind about this one
const stockAtFirst = 10;
const workMs = 300;

/** Stock, ledger and harbour: services that take keys, and are in no process. */
export class Shop {
  readonly #reserved = new Set<string>();
  readonly #charged = new Set<string>();
  readonly #shipped = new Set<string>();
  readonly #twice: string[] = [];

  reserve(key: string): string {
    return this.#once(this.#reserved, key);
  }

  charge(key: string): string {
    return this.#once(this.#charged, key);
  }

  ship(key: string): string {
    return this.#once(this.#shipped, key);
  }

  release(key: string): void {
    this.#reserved.delete(key);
  }

  refund(key: string): void {
    this.#charged.delete(key);
  }

  has(key: string): string | undefined {
    const all = [this.#reserved, this.#charged, this.#shipped];
    return all.some((some) => some.has(key)) ? key : undefined;
  }

  /** What does not add up, with these orders complete and no others. */
  wrong(complete: readonly string[]): readonly string[] {
    const wrong = [...this.#twice];
    const check = (what: string, step: string, some: ReadonlySet<string>): void => {
      const expected = complete.map((id) => `${id}/${step}`).sort();
      const found = [...some].sort();
      if (expected.join() !== found.join()) {
        wrong.push(`${what}: ${found.join(", ")}; complete: ${complete.join(", ")}`);
      }
    };
    check("reserved", "reserve", this.#reserved);
    check("charged", "charge", this.#charged);
    check("shipped", "ship", this.#shipped);
    if (this.#reserved.size > stockAtFirst) wrong.push("the stock is below zero");
    return wrong;
  }

  #once(some: Set<string>, key: string): string {
    if (some.has(key)) this.#twice.push(`${key} happened twice`);
    some.add(key);
    return key;
  }
}

const clerk = (shop: Shop): AgentDefinition =>
  defineAgent({ name: "clerk", capacity: 2 }).does(Order, async (n, ctx) => {
    const check = (key: string): string | undefined => shop.has(key);
    // The effect comes first: after a wait the lease may be another's, and no store can see it.
    const reserve = async (key: string): Promise<string> => {
      const reserved = shop.reserve(key);
      await ctx.clock.sleep(workMs);
      return reserved;
    };
    await ctx.step("reserve", reserve, {
      after: "check",
      check,
      undo: ({ key }) => shop.release(key),
    });
    const charge = async (key: string): Promise<string> => {
      if (n % declined === 0) throw new TerminalError("the card is declined");
      const charged = shop.charge(key);
      await ctx.clock.sleep(workMs);
      return charged;
    };
    await ctx.step("charge", charge, {
      after: "check",
      check,
      undo: ({ key }) => shop.refund(key),
    });
    await ctx.sleep("packing", workMs);
    return ctx.step(
      "ship",
      (key) => {
        if (n === unshippable) throw new TerminalError("there is no ship");
        return shop.ship(key);
      },
      { after: "check", check, pivot: true },
    );
  });

async function work(team: Cadre, clock: Clock): Promise<void> {
  const ids = [];
  for (const n of orders) {
    const { id } = await team.tasks.create(Order, n, { id: `order-${n}` });
    ids.push(id);
  }
  await clock.sleep(workMs);
  await team.tasks.cancel(`order-${cancelled}`, "the customer changed their mind");
  while (await isAnyOpen(team, ids)) await clock.sleep(workMs);
  for (const n of orders) {
    const { status } = (await team.tasks.get(`order-${n}`)) ?? {};
    if (n % declined === 0 || n === unshippable) assert.equal(status, "failed", `order-${n}`);
    else if (n !== cancelled) assert.equal(status, "completed", `order-${n}`);
  }
}

async function isAnyOpen(team: Cadre, ids: readonly string[]): Promise<boolean> {
  for (const id of ids) {
    const { status = "" } = (await team.tasks.get(id)) ?? {};
    if (!["completed", "failed", "cancelled"].includes(status)) return true;
  }
  return false;
}

/** See the head of the file. */
export const sagas: Scenario<Shop> = {
  world: () => new Shop(),
  agents: (_process, shop) => [clerk(shop)],
  work: (team, _shop, clock) => work(team, clock),
  invariants: [
    async (store, shop) => {
      const complete: string[] = [];
      for await (const { event } of store.read({ type: "task.completed" })) {
        complete.push((event.payload as { readonly taskId: string }).taskId);
      }
      return shop.wrong(complete);
    },
  ],
};
