import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";
import { openSqlite } from "cadre/sqlite";
import { temporaryFolder } from "../drivers/sqlite/temporary-file.ts";

const Shout = defineTask({ name: "shout", input: type<string>(), output: type<string>() });
const text = "a long text, ".repeat(40_000);

for (const place of ["store", "folder"] as const) {
  test(`a task whose input and result are large runs through a ${place} of blobs`, async () => {
    const folder = temporaryFolder();
    const store = `sqlite:${join(folder, "team.db")}`;
    const agent = defineAgent({ name: "crier" }).does(Shout, (input) => input.toUpperCase());
    const team = await startCadre({
      agents: [agent],
      store,
      largePayloads: { in: place === "store" ? "store" : { folder: join(folder, "blobs") } },
    });
    const heard = team.bus.listen("task.completed")[Symbol.asyncIterator]();
    const next = heard.next();
    const task = await team.tasks.create(Shout, text);
    assert.equal(await task.result(), text.toUpperCase());
    const { value: event } = await next;
    assert.deepEqual(event?.payload, { ...event?.payload, result: text.toUpperCase() });
    await heard.return?.();
    await team.close();
    await using log = await openSqliteDisposable(store);
    for await (const { event: raw } of log.store.read()) {
      assert.ok(JSON.stringify(raw.payload).length < 2_000, `${raw.type} carries it all`);
    }
  });
}

async function openSqliteDisposable(url: string) {
  const log = await openSqlite(url);
  return { store: log.store, [Symbol.asyncDispose]: () => log.close() };
}

test("a place that is none is refused", async () => {
  await assert.rejects(startCadre({ largePayloads: { overBytes: 0 } }), { code: "INVALID_OPTION" });
});
