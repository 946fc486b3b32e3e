/** Teams whose store and bus are one log in Postgres, named by its URL. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startCadre } from "cadre/agents";
import { until } from "../../until.ts";
import { noteEvents, WriteNote, writer } from "../note-team.ts";
import {
  postgresServerPath,
  startPostgresServer,
  type PostgresServer,
} from "../../servers/postgres-server.ts";

const skip = postgresServerPath() === undefined ? "there is no postgres here" : false;
const timeout = 60_000;
let server: PostgresServer;
before(async () => {
  if (!skip) server = await startPostgresServer();
});
after(() => (skip ? undefined : server.stop()));

test("a team named by a URL does tasks and hears its facts", { skip, timeout }, async () => {
  const store = await server.createDatabase();
  const told: string[] = [];
  {
    await using team = await startCadre({ agents: [writer], events: noteEvents, store });
    await team.bus.subscribe("note.written", { group: "readers" }, ({ payload }) => {
      told.push(payload.text);
    });
    const handles = await Promise.all(
      Array.from({ length: 10 }, (_, n) => team.tasks.create(WriteNote, { text: `note ${n}` })),
    );
    const results = await Promise.all(handles.map((handle) => handle.result()));
    assert.deepEqual(
      results,
      handles.map((_, n) => `wrote note ${n}`),
    );
    await until(() => told.length === 10, "the facts");
  }
  const expected = Array.from({ length: 10 }, (_, n) => `note ${n}`);
  assert.deepEqual(told.toSorted(), expected);
});

test(
  "a task goes on elsewhere when the process that has it is killed",
  { skip, timeout },
  async () => {
    const store = await server.createDatabase();
    await using asker = await startCadre({ events: noteEvents, name: "asker", store });
    const program = fileURLToPath(new URL("./team-process.ts", import.meta.url));
    const child = fork(program, [store]);
    await once(child, "message"); // "ready"
    const handle = await asker.tasks.create(WriteNote, { text: "hello" });
    const [started] = await once(child, "message");
    assert.equal(started, "started");
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    await using _helper = await startCadre({
      agents: [writer],
      events: noteEvents,
      name: "helper",
      store,
    });
    assert.equal(await handle.result(), "wrote hello");
  },
);
