/**
 * Orders over stock, ledger and shipping, worked on by processes that are killed throughout. Money
 * is conserved, stock never below zero, no order charged twice, and every order is completed or
 * wholly compensated.
 *
 * CADRE_ORDERS sets the number of orders (200 unless set; 10000 is the full size), CADRE_STORE_URL
 * the store (a new SQLite file unless set), CADRE_LIFE_MS how long a process may live at most, once
 * it works (2000 unless set), CADRE_SEED repeats the order of the kills.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { secureRandom, SeededRandom, systemClock } from "cadre";
import { sagaId, startCadre, type Cadre, type TaskState } from "cadre/agents";
import { withTempFolder } from "../servers/temporary.ts";
import { orderSaga, type OrderInput } from "./order-saga-definition.ts";
import { OrderWorld } from "./order-world.ts";

const worker = fileURLToPath(new URL("order-saga-worker.ts", import.meta.url));
const orders = Number(process.env["CADRE_ORDERS"] ?? 200);
const workers = 3;
const longestLifeMs = Number(process.env["CADRE_LIFE_MS"] ?? 2_000);
const batch = 250;
const boundMs = 60_000 + 60 * orders;

class Killing {
  kills = 0;
  readonly #url: string;
  readonly #world: string;
  readonly #random: SeededRandom;
  readonly #running: (ChildProcess | undefined)[] = [];
  #stopped = false;
  #ended: Promise<unknown> = Promise.resolve();
  /** Rejects when a process ends by itself. */
  failed: Promise<never> = new Promise(() => {});

  constructor(url: string, world: string, random: SeededRandom) {
    this.#url = url;
    this.#world = world;
    this.#random = random;
  }

  async start(): Promise<void> {
    await Promise.all(Array.from({ length: workers }, (_, index) => this.#startOne(index)));
    const victims = Array.from({ length: workers }, (_, index) => this.#kill(index));
    this.failed = new Promise((_resolve, reject) => {
      this.#ended = Promise.all(victims).catch(reject);
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
    for (const process of this.#running) await end(process);
  }

  async #startOne(index: number): Promise<void> {
    const process = fork(worker, [this.#url, this.#world]);
    this.#running[index] = process;
    const ready = once(process, "message").then(([message]) => String(message));
    const ended = once(process, "exit").then(([code]) => `it ended with ${String(code)}`);
    assert.equal(await Promise.race([ready, ended]), "ready");
  }

  /** Each is killed on its own, so that now and then nobody is left to see who is gone. */
  async #kill(index: number): Promise<void> {
    for (;;) {
      await systemClock.sleep(this.#random.next() * longestLifeMs);
      if (this.#stopped) return;
      await end(this.#running[index]);
      this.kills += 1;
      await this.#startOne(index);
    }
  }
}

async function end(process: ChildProcess | undefined): Promise<void> {
  if (!process || process.exitCode !== null || process.signalCode !== null) return;
  const ended = once(process, "exit");
  process.kill("SIGKILL");
  await ended;
}

function orderOf(index: number): OrderInput {
  const order = `o${index}`;
  return {
    order,
    item: `item-${index % 10}`,
    account: `account-${index % 50}`,
    amount: 1 + (index % 90),
  };
}

async function placeOrders(team: Cadre, world: OrderWorld): Promise<void> {
  const definition = orderSaga(world);
  for (let first = 0; first < orders; first += batch) {
    const size = Math.min(batch, orders - first);
    const tasks = Array.from({ length: size }, (_, offset) => {
      const input = orderOf(first + offset);
      return { definition, input, options: { id: sagaId(definition, input.order) } };
    });
    await team.tasks.createAll(tasks);
  }
}

async function allEnded(team: Cadre): Promise<void> {
  const deadline = systemClock.monotonic() + boundMs;
  await systemClock.sleep(500);
  while (team.stats().tasksOpen > 0) {
    const { tasksOpen } = team.stats();
    assert.ok(systemClock.monotonic() < deadline, `${tasksOpen} of ${orders} orders are open`);
    await systemClock.sleep(100);
  }
}

function judge(world: OrderWorld, states: readonly TaskState[]): Record<string, number> {
  const ends: Record<string, number> = {};
  for (const { id, status, error } of states) {
    ends[status] = (ends[status] ?? 0) + 1;
    const { held, charged, refunded, shipped } = world.standing((step) => `${id}/${step}`);
    if (status === "completed") {
      assert.deepEqual(
        { held, charged, refunded, shipped },
        {
          held: true,
          charged: true,
          refunded: false,
          shipped: true,
        },
      );
    } else {
      assert.equal(status, "failed", id);
      const left = { held, money: charged && !refunded, shipped };
      assert.deepEqual(
        left,
        { held: false, money: false, shipped: false },
        `${id} ${error?.message}`,
      );
    }
  }
  return ends;
}

test("orders survive kills: completed or wholly compensated, and nothing happens twice", async (t) => {
  const seed = Number(process.env["CADRE_SEED"] ?? secureRandom.integer(2 ** 32));
  await withTempFolder(async (folder) => {
    const url = process.env["CADRE_STORE_URL"] ?? `sqlite:${join(folder, "team.db")}`;
    const path = join(folder, "world.db");
    const world = new OrderWorld(path);
    // Too little of both for everybody, so that some orders fail for want.
    world.fill(Math.ceil(orders / 12), 50, orders);
    const before = world.totals();
    const startedAt = systemClock.monotonic();
    await using team = await startCadre({ store: url, orchestrator: false });
    const killing = new Killing(url, path, new SeededRandom(seed));
    await killing.start();
    try {
      await placeOrders(team, world);
      await Promise.race([allEnded(team), killing.failed]);
    } finally {
      await killing.stop();
    }
    const wallMs = Math.round(systemClock.monotonic() - startedAt);
    const states = await team.sagas.list({ name: "order" });
    assert.equal(states.length, orders);
    const ends = judge(world, states);
    const after = world.totals();
    assert.equal(after.money, before.money, "money");
    assert.equal(after.goods, before.goods, "goods");
    assert.ok(after.least >= 0, "stock");
    const { tasksOpen: _open, ...stats } = team.stats();
    const { kills } = killing;
    t.diagnostic(
      JSON.stringify({ orders, wallMs, kills, ends, repeats: after.repeats, stats, seed }),
    );
    assert.ok((ends["failed"] ?? 0) > 0 && (ends["completed"] ?? 0) > 0, "both ends are seen");
    world.close();
  });
});
