import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { systemClock } from "cadre";
import { defineAgent, defineExpectation, startCadre } from "cadre/agents";
import { jsonLines, runCli, temporaryFolder } from "./run-cli.ts";

/** A flow that ends, and one that is stuck. */
async function flows(context: TestContext): Promise<Parameters<typeof runCli>[1]> {
  const cwd = temporaryFolder(context);
  const store = `sqlite:${join(cwd, "team.db")}`;
  const bank = defineAgent({ name: "bank" }).on("custom.order.placed", async (event, ctx) => {
    const { order } = event.payload as { order: string };
    await ctx.publish("custom.stock.reserved", { order });
    if (order === "good") await ctx.publish("custom.payment.charged", { order });
  });
  const expected = { after: "custom.order.placed", next: "custom.payment.*", withinMs: 200 };
  const expectations = [defineExpectation({ name: "payment", ...expected })];
  const team = await startCadre({ agents: [bank], store, expectations });
  context.after(() => team.close({ deadlineMs: 500 }));
  for (const order of ["good", "bad"]) {
    await team.bus.publish("custom.order.placed", { order }, { id: `order-${order}` });
  }
  for (let tries = 0; tries < 400; tries += 1) {
    // On a busy machine the good one is late for a moment.
    const stuck = new Set<string>();
    for await (const { event } of team.store.read({ type: "flow.*" })) {
      const flow = event.metadata.correlationId;
      if (event.type === "flow.stuck") stuck.add(flow);
      else stuck.delete(flow);
    }
    if ([...stuck].join() === "order-bad") return { cwd, env: { CADRE_STORE: store } };
    await systemClock.sleep(25);
  }
  return assert.fail("no flow was found stuck");
}

test("flows are listed, the stuck ones with what they wait for", async (context) => {
  const options = await flows(context);
  const all = await runCli(["flows"], options);
  assert.match(all.stdout, /^\S*good +custom\.\S+ +custom\.\S+ +3 /m);
  const stuck = await runCli(["flows", "--stuck"], options);
  assert.match(stuck.stdout, /^\S*bad .* 2 +custom\.\S+ /m);
  assert.doesNotMatch(stuck.stdout, /order-good/);
  const json = jsonLines((await runCli(["flows", "list", "--stuck", "--json"], options)).stdout);
  assert.deepEqual(
    json.map(({ waitsFor }) => waitsFor),
    [["custom.payment.*"]],
  );
  const narrow = await runCli(["flows"], { ...options, env: { ...options?.env, COLUMNS: "60" } });
  assert.ok(
    narrow.stdout.split("\n").every((line) => line.length <= 60),
    narrow.stdout,
  );
});

test("a flow is shown as a tree of causes, found by a part of its id", async (context) => {
  const options = await flows(context);
  const shown = await runCli(["flows", "show", "good"], options);
  assert.equal(shown.code, 0, shown.stderr);
  const lines = shown.stdout.trimEnd().split("\n");
  assert.match(lines[0] ?? "", /^\d.*custom\.order\.placed/);
  assert.match(lines[1] ?? "", /^ {2}\d.*custom\.stock\.reserved/);
  assert.match(lines[2] ?? "", /^ {2}\d.*custom\.payment\.charged/);
  const unknown = await runCli(["flows", "show", "nobody"], options);
  assert.equal(unknown.code, 3);
  assert.match(unknown.stderr, /There is no flow "nobody"/);
});
