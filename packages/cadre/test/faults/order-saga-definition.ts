/** The order saga of the kill test: stock, ledger and shipping, with declines and lost answers. */
import { createHash } from "node:crypto";
import { secureRandom, systemClock, TerminalError, type } from "cadre";
import { defineSaga, type SagaDefinition } from "cadre/agents";
import type { OrderWorld } from "./order-world.ts";

export interface OrderInput {
  readonly order: string;
  readonly item: string;
  readonly account: string;
  readonly amount: number;
}

/** Always the same for one order, so that every attempt is declined alike: a number below 100. */
function chance(order: string, what: string): number {
  return createHash("sha256").update(`${order}/${what}`).digest().readUInt32BE() % 100;
}

/** A service that takes a while, and whose answers get lost now and then, before or after. */
async function unreliable(effect: () => void): Promise<void> {
  await systemClock.sleep(secureRandom.integer(3));
  const luck = secureRandom.integer(100);
  if (luck < 2) throw new Error("the service did not answer");
  effect();
  if (luck < 4) throw new Error("the answer was lost");
}

export function orderSaga(world: OrderWorld): SagaDefinition<OrderInput, string> {
  return defineSaga({ name: "order", input: type<OrderInput>(), maxAttempts: 20 }, (saga) =>
    saga
      .step("reserve", ({ input, key }) => unreliable(() => world.reserve(key, input.item)), {
        after: "retry",
        undo: ({ key }) => unreliable(() => world.release(key)),
      })
      .step(
        "charge",
        async ({ input, key }) => {
          if (chance(input.order, "bank") < 15) throw new TerminalError("the bank declines");
          await unreliable(() => world.charge(key, input.account, input.amount));
          return "charged";
        },
        {
          after: "check",
          check: ({ key }) => (world.isCharged(key) ? "charged" : undefined),
          undo: ({ key }) => unreliable(() => world.refund(key)),
        },
      )
      .step(
        "ship",
        async ({ input, key }) => {
          if (chance(input.order, "way") < 10) throw new TerminalError("no way leads there");
          await unreliable(() => world.ship(key));
        },
        { pivot: true },
      )
      .step("thank", () => unreliable(() => {}))
      .returns(({ results }) => results.charge),
  );
}
