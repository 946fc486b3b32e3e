import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { createBus } from "cadre";
import { sqlite } from "cadre/sqlite";
import { jsonLines, runHere, startCli, temporaryFolder } from "./run-cli.ts";

test("archive keeps what is published until Ctrl-C, and says how much", async (context) => {
  const cwd = temporaryFolder(context);
  const env = { CADRE_STORE: "sqlite:./archive.db", CADRE_BUS: "sqlite:./bus.db" };
  const running = startCli(["archive", "order.#"], { cwd, env });
  await running.shows("Ctrl-C ends it");
  const bus = createBus({ transport: sqlite(join(cwd, "bus.db")) });
  for (let n = 1; n <= 3; n += 1) await bus.publish("order.placed", { n });
  await bus.publish("other.placed", {});
  const open = async (): Promise<number | undefined> => {
    const [group] = await bus.groups();
    return (group?.open ?? 0) + (group?.behind ?? 0);
  };
  const end = Date.now() + 10_000;
  while ((await open()) !== 0 && Date.now() < end)
    await new Promise((next) => setTimeout(next, 20));
  await bus.close();
  running.child.kill("SIGINT");
  const { code, stdout, stderr } = await running.ended;
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^Keeping order\.# of sqlite in sqlite\.$/m);
  assert.match(stdout, /^3 events kept\.$/m);
  const kept = await runHere(["export"], { cwd, env: { CADRE_STORE: env.CADRE_STORE } });
  assert.equal(kept.code, 0, kept.stderr);
  assert.equal((kept.stdout.match(/order\.placed/g) ?? []).length, 3);
});

test("archive needs a broker that is not the store's own log", async (context) => {
  const cwd = temporaryFolder(context);
  const none = await runHere(["archive"], { cwd, env: { CADRE_STORE: "sqlite:./a.db" } });
  assert.equal(none.code, 2);
  assert.match(none.stderr, /--bus/);
  const env = { CADRE_STORE: "sqlite:./a.db", CADRE_BUS: "sqlite:./a.db" };
  const same = await runHere(["archive", "--json"], { cwd, env });
  assert.equal(same.code, 2);
  assert.match(same.stderr, /one log/);
  assert.deepEqual(jsonLines(same.stdout), []);
});
