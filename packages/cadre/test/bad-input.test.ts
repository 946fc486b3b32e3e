import assert from "node:assert/strict";
import { test } from "node:test";

import {
  createBus,
  defineEvents,
  isCadreError,
  memory,
  type,
  type Bus,
  type ErrorCode,
} from "cadre";

const orderSchema = {
  type: "object",
  properties: { id: { type: "integer" }, note: {} },
  required: ["id"],
};
const events = defineEvents({ "order.placed": type<{ id: number; note?: unknown }>(orderSchema) });

const cycle: Record<string, unknown> = { id: 1 };
cycle["self"] = cycle;

const refusals: readonly {
  readonly name: string;
  readonly code: ErrorCode;
  readonly says: RegExp;
  readonly act: (bus: Bus) => Promise<unknown>;
}[] = [
  {
    name: "a payload that breaks its schema",
    code: "INVALID_PAYLOAD",
    says: /order\.placed.*id/s,
    act: (bus) => bus.publish("order.placed", { id: "seven" }),
  },
  {
    name: "a type outside the registry",
    code: "UNKNOWN_TYPE",
    says: /order\.plaecd.*closest: "order\.placed"/s,
    act: (bus) => bus.publish("order.plaecd", { id: 1 }),
  },
  {
    name: "a pattern with too many #",
    code: "INVALID_PATTERN",
    says: /#\.a\.#\.b\.#\.c\.#/,
    act: (bus) => bus.subscribe("#.a.#.b.#.c.#", () => {}),
  },
  {
    name: "a payload with a function",
    code: "NOT_JSON",
    says: /note/,
    act: (bus) => bus.publish("order.placed", { id: 1, note: () => 1 }),
  },
  {
    name: "a payload with a cycle",
    code: "NOT_JSON",
    says: /cycle/,
    act: (bus) => bus.publish("order.placed", cycle),
  },
  {
    name: "a type with a space, which would redirect the message on some brokers",
    code: "INVALID_TOPIC",
    says: /order placed/,
    act: (bus) => bus.publish("order placed", { id: 1 }),
  },
  {
    name: "an option that does not exist",
    code: "INVALID_OPTION",
    says: /concurency.*concurrency/s,
    act: (bus) => bus.subscribe("order.*", { concurency: 2 } as object, () => {}),
  },
];

for (const { name, code, says, act } of refusals) {
  test(`${name} is refused with ${code}, and the bus goes on`, async () => {
    const bus: Bus = createBus({ transport: memory(), events });
    const seen: unknown[] = [];
    await bus.subscribe("#", (event) => void seen.push(event.payload));
    await assert.rejects(act(bus), (error: unknown) => {
      assert.ok(isCadreError(error, code), String(error));
      assert.match(error.message, says);
      return true;
    });
    await bus.publish("order.placed", { id: 2 });
    await bus.idle();
    assert.deepEqual(seen, [{ id: 2 }]);
    await bus.close();
  });
}

test("a __proto__ member is data: it arrives, and changes no prototype", async () => {
  const bus: Bus = createBus({ transport: memory() });
  const seen: unknown[] = [];
  await bus.subscribe("#", (event) => void seen.push(event.payload));
  await bus.publish("order.placed", JSON.parse('{"id":1,"__proto__":{"admin":true}}'));
  await bus.idle();
  assert.equal(JSON.stringify(seen[0]), '{"id":1,"__proto__":{"admin":true}}');
  assert.equal((seen[0] as { admin?: unknown }).admin, undefined);
  await bus.close();
});
