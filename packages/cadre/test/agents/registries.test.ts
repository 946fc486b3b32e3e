import assert from "node:assert/strict";
import { test } from "node:test";

import { defineEvents, isCadreError, type } from "cadre";
import { defineAgent } from "cadre/agents";
import { testTeam } from "cadre/testing";

const sizes = (most: number) => ({
  type: "object",
  properties: { size: { type: "integer", maximum: most } },
  required: ["size"],
});
const parcels = defineEvents({ "parcel.sent": sizes(10), "parcel.seen": sizes(10) });

test("an agent's registry is in force in a team that has none", async () => {
  const bench = testTeam();
  const seen: unknown[] = [];
  const clerk = defineAgent({ name: "clerk", events: parcels }).on(
    "parcel.sent",
    async (event, ctx) => {
      await assert.rejects(ctx.publish("parcel.seen", { size: 11 }), (error: unknown) =>
        isCadreError(error, "INVALID_PAYLOAD"),
      );
      await ctx.publish("parcel.seen", event.payload);
    },
  );
  const team = await bench.start({ agents: [clerk] });
  await team.bus.subscribe("parcel.seen", (event) => void seen.push(event.payload));
  await team.bus.publish("parcel.sent", { size: 3 });
  await assert.rejects(team.bus.publish("parcel.sent", { size: 11 }), (error: unknown) =>
    isCadreError(error, "INVALID_PAYLOAD"),
  );
  await assert.rejects(team.bus.publish("parcel.lost", {}), (error: unknown) =>
    isCadreError(error, "UNKNOWN_TYPE"),
  );
  await bench.until(team.bus.idle());
  await bench.clock.advance(1_000);
  assert.deepEqual(seen, [{ size: 3 }]);
  await bench.close();
});

test("where two registries know a type the team's decides, then the first agent's", async () => {
  const bench = testTeam();
  const small = defineEvents({ "parcel.sent": sizes(1), "parcel.lost": sizes(1) });
  const agents = [
    defineAgent({ name: "large", events: parcels }),
    defineAgent({ name: "small", events: small }),
    defineAgent({ name: "same", events: parcels }),
  ];
  const team = await bench.start({ agents });
  await team.bus.publish("parcel.sent", { size: 10 });
  await team.bus.publish("parcel.lost", { size: 1 });
  const events = defineEvents({ "parcel.sent": type<{ size: number }>() });
  const strict = await bench.start({ name: "strict", agents, events });
  await strict.bus.publish("parcel.sent", { size: 1_000 });
  await strict.bus.publish("custom.known", {});
  await bench.close();
});

test("a registry that is none is refused when the agent is defined", () => {
  const options = { name: "clerk", events: "parcels" } as unknown as { name: string };
  assert.throws(
    () => defineAgent(options),
    (error: unknown) => {
      assert.ok(isCadreError(error, "INVALID_OPTION"));
      assert.match(error.message, /events/);
      return true;
    },
  );
});
