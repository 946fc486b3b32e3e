import assert from "node:assert/strict";
import { test } from "node:test";

import { TerminalError, isCadreError, type } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { testTeam } from "cadre/testing";

const Add = defineTask({
  name: "add",
  input: type<{ a: number; b: number }>(),
  output: type<number>(),
});

/** The types of the events in a task's stream. */
async function story(
  store: { read(query: object): AsyncIterable<{ event: { type: string } }> },
  id: string,
): Promise<string[]> {
  const types: string[] = [];
  for await (const { event } of store.read({ stream: `task/${id}` })) types.push(event.type);
  return types;
}

test("a task is done by the agent that offers its capability", async () => {
  const bench = testTeam();
  const team = await bench.start({
    agents: [defineAgent({ name: "adder" }).does(Add, ({ a, b }) => a + b)],
  });
  const handle = await team.tasks.create(Add, { a: 1, b: 2 });
  assert.equal(await bench.until(handle.result()), 3);
  assert.deepEqual(await story(bench.store, handle.id), [
    "task.created",
    "task.claimed",
    "task.started",
    "task.completed",
  ]);
  await bench.close();
});

test("a task waits in the log until somebody can do it", async () => {
  const bench = testTeam();
  const asking = await bench.start();
  const handle = await asking.tasks.create(Add, { a: 2, b: 3 });
  const result = handle.result();
  await bench.clock.advance(60_000);
  assert.equal((await handle.state()).status, "offered");
  await bench.start({ agents: [defineAgent({ name: "adder" }).does(Add, ({ a, b }) => a + b)] });
  assert.equal(await bench.until(result), 5);
  await bench.close();
});

test("the same id creates one task", async () => {
  const bench = testTeam();
  let runs = 0;
  const adder = defineAgent({ name: "adder" }).does(Add, ({ a, b }) => {
    runs += 1;
    return a + b;
  });
  const team = await bench.start({ agents: [adder] });
  const first = await team.tasks.create(Add, { a: 1, b: 1 }, { id: "one" });
  const second = await team.tasks.create(Add, { a: 5, b: 5 }, { id: "one" });
  assert.equal(await bench.until(first.result()), 2);
  assert.equal(await bench.until(second.result()), 2);
  assert.equal(runs, 1);
  await bench.close();
});

test("a failing task is tried again, on another agent first", async () => {
  const bench = testTeam();
  const tried: string[] = [];
  const agent = (name: string) =>
    defineAgent({ name }).does(Add, ({ a, b }) => {
      tried.push(name);
      if (tried.length === 1) throw new Error("not today");
      return a + b;
    });
  const team = await bench.start({ agents: [agent("left"), agent("right")] });
  const handle = await team.tasks.create(Add, { a: 1, b: 2 });
  assert.equal(await bench.until(handle.result()), 3);
  assert.deepEqual(tried, ["left", "right"]);
  await bench.close();
});

test("a task fails when its attempts are used up, and the requester is told why", async () => {
  const bench = testTeam();
  const failing = defineAgent({ name: "failing" }).does(Add, () => {
    throw new Error("no numbers left");
  });
  const team = await bench.start({ agents: [failing] });
  const handle = await team.tasks.create(Add, { a: 1, b: 2 });
  await assert.rejects(bench.until(handle.result()), (error: unknown) => {
    assert.ok(isCadreError(error, "REQUEST_FAILED"));
    assert.match(error.message, /no numbers left/);
    return true;
  });
  assert.equal((await handle.state()).attempt, 3);
  await bench.close();
});

test("a TerminalError ends a task at its first attempt", async () => {
  const bench = testTeam();
  const refusing = defineAgent({ name: "refusing" }).does(Add, () => {
    throw new TerminalError("never");
  });
  const team = await bench.start({ agents: [refusing] });
  const handle = await team.tasks.create(Add, { a: 1, b: 2 });
  await assert.rejects(bench.until(handle.result()));
  assert.equal((await handle.state()).attempt, 1);
  await bench.close();
});

test("an agent runs no more tasks at once than its capacity", async () => {
  const bench = testTeam();
  let running = 0;
  let most = 0;
  const busy = defineAgent({ name: "busy", capacity: 2 }).does(Add, async (_input, ctx) => {
    running += 1;
    most = Math.max(most, running);
    await ctx.clock.sleep(100);
    running -= 1;
    return 0;
  });
  const team = await bench.start({ agents: [busy] });
  const handles = await team.tasks.createAll(
    Array.from({ length: 9 }, (_, n) => ({ definition: Add, input: { a: n, b: n } })),
  );
  await bench.until(Promise.all(handles.map((handle) => handle.result())));
  assert.equal(most, 2);
  await bench.close();
});

test("a task whose dependency completes is offered, and one whose dependency fails fails", async () => {
  const bench = testTeam();
  const order: number[] = [];
  const agent = defineAgent({ name: "agent" }).does(Add, ({ a, b }) => {
    order.push(a);
    if (a < 0) throw new TerminalError("negative");
    return a + b;
  });
  const team = await bench.start({ agents: [agent] });
  const second = await team.tasks.create(Add, { a: 2, b: 0 }, { dependsOn: ["first"] });
  await bench.clock.advance(5_000);
  assert.equal((await second.state()).status, "waiting");
  await team.tasks.create(Add, { a: 1, b: 0 }, { id: "first" });
  assert.equal(await bench.until(second.result()), 2);
  assert.deepEqual(order, [1, 2]);
  await team.tasks.create(Add, { a: -1, b: 0 }, { id: "bad" });
  const third = await team.tasks.create(Add, { a: 3, b: 0 }, { dependsOn: ["bad"] });
  await assert.rejects(bench.until(third.result()), /depends on task bad/);
  await bench.close();
});

test("a task over its deadline fails, also when nobody ever took it", async () => {
  const bench = testTeam();
  const team = await bench.start();
  const handle = await team.tasks.create(Add, { a: 1, b: 2 }, { deadlineMs: 5_000 });
  await assert.rejects(bench.until(handle.result(), 20_000), /deadline/);
  await bench.close();
});

test("cancelling reaches the handler's signal, and a handler that doesn't listen is cancelled over its head", async () => {
  const bench = testTeam();
  const seen: unknown[] = [];
  const agent = defineAgent({ name: "agent", capacity: 2 }).does(Add, ({ a }, ctx) => {
    ctx.signal.addEventListener("abort", () => seen.push(a));
    return new Promise<number>(() => {});
  });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Add, { a: 7, b: 0 });
  await bench.clock.advance(100);
  await handle.cancel("no longer needed");
  await assert.rejects(bench.until(handle.result()), (error: unknown) =>
    isCadreError(error, "CANCELLED"),
  );
  assert.deepEqual(seen, [7]);
  assert.equal(await team.tasks.cancel(handle.id, "again"), false);
  await bench.close();
});

test("an agent of capacity 1 can wait for its own child", async () => {
  const bench = testTeam();
  const Sum = defineTask({ name: "sum", input: type<number[]>(), output: type<number>() });
  const agent = defineAgent({ name: "agent", capacity: 1 })
    .does(Add, ({ a, b }) => a + b)
    .does(Sum, async (numbers, ctx) => {
      let total = 0;
      for (const [index, number] of numbers.entries()) {
        total = await ctx.call(`add-${index}`, Add, { a: total, b: number });
      }
      return total;
    });
  const team = await bench.start({ agents: [agent] });
  const handle = await team.tasks.create(Sum, [1, 2, 3]);
  assert.equal(await bench.until(handle.result()), 6);
  await bench.close();
});

test("events published by a handler come with its success only", async () => {
  const bench = testTeam();
  let attempts = 0;
  const agent = defineAgent({ name: "agent" }).does(Add, async (_input, ctx) => {
    attempts += 1;
    await ctx.publish("custom.said", { attempt: attempts });
    await ctx.publish("custom.cried", { attempt: attempts }, { isolated: true });
    if (attempts === 1) throw new Error("once more");
    return 0;
  });
  const team = await bench.start({ agents: [agent] });
  const said: unknown[] = [];
  await team.bus.subscribe("custom.*", (event) => void said.push([event.type, event.payload]));
  const handle = await team.tasks.create(Add, { a: 0, b: 0 });
  await bench.until(handle.result());
  await bench.clock.advance(1_000);
  assert.deepEqual(said, [
    ["custom.cried", { attempt: 1 }],
    ["custom.cried", { attempt: 2 }],
    ["custom.said", { attempt: 2 }],
  ]);
  await bench.close();
});
