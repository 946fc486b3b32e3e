/** A team whose bus keeps no history, with an archive that keeps it. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { memoryStore, systemClock, type } from "cadre";
import { defineAgent, defineTask, startCadre, type Cadre } from "cadre/agents";
import { eventbridge } from "cadre/eventbridge";
import { motoConnection, motoMissing, startMotoServer } from "../../servers/moto-server.ts";

const skip = motoMissing();
const server = skip === false ? await startMotoServer() : undefined;
after(() => server?.stop());

const Echo = defineTask({ name: "echo", input: type<string>(), output: type<string>() });
const echo = defineAgent({ name: "echo" }).does(Echo, async (text, ctx) => {
  await ctx.publish("custom.said", { text });
  return text;
});

async function saidSoFar(team: Cadre): Promise<readonly string[]> {
  const said: string[] = [];
  for await (const { payload } of team.bus.history({ type: "custom.said" })) {
    said.push((payload as { readonly text: string }).text);
  }
  return said;
}

async function untilKept(team: Cadre, count: number): Promise<readonly string[]> {
  const end = systemClock.monotonic() + 20_000;
  for (;;) {
    const said = await saidSoFar(team);
    if (said.length >= count) return said;
    assert.ok(systemClock.monotonic() < end, `${said.length} of ${count} were kept within 20 s`);
    await systemClock.sleep(20);
  }
}

test("a team's archive keeps what its agents publish on EventBridge", { skip }, async () => {
  const store = memoryStore();
  const start = (): Promise<Cadre> => {
    const url = `eventbridge://us-east-1/team?endpoint=${server!.endpoint}`;
    const bus = eventbridge(url, { connection: motoConnection, waitMs: 1_000 });
    return startCadre({ agents: [echo], store, bus, archive: true });
  };
  await using first = await start();
  for (const text of ["one", "two"]) {
    const task = await first.tasks.create(Echo, text);
    assert.equal(await task.result(), text);
  }
  assert.deepEqual(new Set(await untilKept(first, 2)), new Set(["one", "two"]));
  await first.close();

  await using second = await start();
  assert.equal((await saidSoFar(second)).length, 2, "it outlives the team");
  const task = await second.tasks.create(Echo, "three");
  await task.result();
  assert.equal((await untilKept(second, 3)).length, 3);
  const replayed: string[] = [];
  await second.bus.replay({ type: "custom.said" }, { to: ({ id }) => void replayed.push(id) });
  assert.equal(new Set(replayed).size, 3);
  await second.close();
});
