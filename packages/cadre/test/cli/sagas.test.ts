import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { systemClock, type } from "cadre";
import { defineAgent, defineSaga, startCadre, type Cadre } from "cadre/agents";
import { jsonLines, runCli, temporaryFolder } from "./run-cli.ts";

let bankIsOpen = false;

const Order = defineSaga({ name: "order", input: type<string>(), maxAttempts: 2 }, (saga) =>
  saga
    .step("reserve", () => "shelf 7", { undo: () => {} })
    .step(
      "charge",
      ({ input }) => {
        if (input === "doubt") throw new Error("the answer was lost");
        return "paid";
      },
      {
        undoRetry: { maxAttempts: 1 },
        undo: () => {
          if (!bankIsOpen) throw new Error("the bank is closed");
        },
      },
    )
    .waitFor("go", "custom.go")
    .returns(({ results }) => results.charge),
);

async function live(
  context: TestContext,
): Promise<{ team: Cadre; options: Parameters<typeof runCli>[1] }> {
  const cwd = temporaryFolder(context);
  const store = `sqlite:${join(cwd, "team.db")}`;
  const shop = defineAgent({ name: "shop", capacity: 2 }).does(Order);
  const team = await startCadre({ agents: [shop], store, heartbeatMs: 100, leaseMs: 2_000 });
  context.after(() => team.close({ deadlineMs: 500 }));
  return { team, options: { cwd, env: { CADRE_STORE: store } } };
}

async function reaches(team: Cadre, id: string, phase: string): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if ((await team.sagas.get(id))?.phase === phase) return;
    await systemClock.sleep(25);
  }
  assert.fail(`${id} is ${(await team.sagas.get(id))?.phase}, not ${phase}`);
}

test("a saga in doubt is listed, shown, and goes on when a person says so", async (context) => {
  const { team, options } = await live(context);
  const handle = await team.sagas.start(Order, "doubt", { key: "1" });
  await reaches(team, handle.id, "in_doubt");
  const listed = await runCli(["sagas", "--phase", "in_doubt"], options);
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, /^order:1 +order +in_doubt +charge /m);
  const shown = await runCli(["sagas", "show", "order:1"], options);
  assert.match(shown.stdout, /^asks +about step charge$/m);
  assert.match(shown.stdout, /^reserve +done +undo/m);
  assert.match(shown.stdout, /^charge +begun +undo/m);
  const decide = [
    "sagas",
    "mark-done",
    "order:1",
    "charge",
    "--result",
    '"by hand"',
    "--by",
    "ada",
  ];
  const decided = await runCli(decide, options);
  assert.equal(decided.code, 0, decided.stderr);
  await team.bus.publish("custom.go", {});
  assert.equal(await handle.result({ timeoutMs: 20_000 }), "by hand");
  const again = await runCli(decide, options);
  assert.notEqual(again.code, 0);
  assert.match(again.stderr, /asks nothing about step "charge"/);
});

test("a saga is cancelled, and its stuck undo is retried, from the command line", async (context) => {
  const { team, options } = await live(context);
  bankIsOpen = false;
  const handle = await team.sagas.start(Order, "fine", { key: "2" });
  await systemClock.sleep(300);
  const cancelled = await runCli(["sagas", "cancel", "order:2", "--reason", "too late"], options);
  assert.equal(cancelled.code, 0, cancelled.stderr);
  await reaches(team, handle.id, "stuck");
  bankIsOpen = true;
  const retried = await runCli(["sagas", "retry", "order:2", "charge"], options);
  assert.equal(retried.code, 0, retried.stderr);
  await reaches(team, handle.id, "undone");
  const [row] = jsonLines((await runCli(["sagas", "--json"], options)).stdout);
  assert.equal(row?.["status"], "cancelled");
  const missing = await runCli(["sagas", "cancel", "order:none"], options);
  assert.equal(missing.code, 3);
});
