import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock, defineEvents, isCadreError, memoryStore, type } from "cadre";
import {
  defineAgent,
  defineTask,
  diffAgent,
  reconstruct,
  startCadre,
  type AgentDefinition,
} from "cadre/agents";
import { SeededRandom, createEvent } from "cadre";

const Deposit = defineTask({ name: "deposit", input: type<number>(), output: type<number>() });

interface Balance {
  readonly balance: number;
}

function teller(snapshotEvery: number): AgentDefinition<Balance> {
  return defineAgent<Balance>({
    name: "teller",
    state: {
      initial: { balance: 0 },
      apply: (state, { payload }) => ({
        balance: state.balance + (payload as { amount: number }).amount,
      }),
      snapshot: { everyEvents: snapshotEvery, keep: 4 },
    },
  }).does(Deposit, (amount, context) => {
    context.record("custom.deposited", { amount });
    return context.state.balance;
  });
}

test("an agent's state is reconstructed as of any position and instant", async () => {
  const store = memoryStore();
  const agent = teller(3);
  const points: { position: number; balance: number }[] = [{ position: 0, balance: 0 }];
  {
    await using team = await startCadre({ agents: [agent], store });
    for (let amount = 1; amount <= 20; amount += 1) {
      const task = await team.tasks.create(Deposit, amount);
      assert.equal(await task.result(), ((amount - 1) * amount) / 2, "what the handler saw");
      points.push({ position: await store.head(), balance: (amount * (amount + 1)) / 2 });
    }
    const now = await team.reconstruct(agent);
    assert.equal(now.state.balance, 210);
    assert.equal(now.version, 20);
    await assert.rejects(team.reconstruct("nobody"), (error) => isCadreError(error, "NOT_FOUND"));
  }
  for (const { position, balance } of points) {
    const { state } = await reconstruct(store, agent, { upTo: position });
    assert.equal(state.balance, balance);
    const plain = await reconstruct(store, teller(1_000), { upTo: position });
    assert.equal(plain.state.balance, balance, "without snapshots too");
  }
  assert.ok((await store.slots("snapshot-")).length > 0, "snapshots were kept");
  const { changes } = await diffAgent(store, agent, { from: points[4]!.position });
  assert.deepEqual(changes, [{ kind: "changed", path: "/balance", before: 10, after: 210 }]);
  const { state } = await reconstruct(store, agent, { upTo: new Date(0) });
  assert.equal(state.balance, 0);
});

test("an agent starts again at its snapshot with the same state", async () => {
  const store = memoryStore();
  for (const [amount, before] of [
    [100, 0],
    [20, 100],
    [3, 120],
  ] as const) {
    await using team = await startCadre({ agents: [teller(1)], store });
    const task = await team.tasks.create(Deposit, amount);
    assert.equal(await task.result(), before);
  }
});

test("an agent without a state has no past to look at", async () => {
  const plain = defineAgent({ name: "plain" });
  await assert.rejects(reconstruct(memoryStore(), plain), (error) =>
    isCadreError(error, "WRONG_STATE"),
  );
});

test("an agent's own old events reach its fold in their current version", async () => {
  const clock = new VirtualClock();
  const store = memoryStore();
  const events = defineEvents({
    "custom.deposited": {
      ...type<{ amount: number }>(),
      version: "2.0.0",
      upcast: { "1.0.0": (old: { cents: number }) => ({ amount: old.cents / 100 }) },
    },
  });
  const context = { clock, random: new SeededRandom(1), source: "teller" };
  const old = createEvent(context, "custom.deposited", { cents: 500 });
  await store.commit({ appends: [{ stream: "agent/teller", expectedVersion: 0, events: [old] }] });
  await using team = await startCadre({ agents: [teller(100)], store, events });
  assert.deepEqual((await team.reconstruct("teller")).state, { balance: 5 });
  const task = await team.tasks.create(Deposit, 1);
  assert.equal(await task.result(), 5);
});
