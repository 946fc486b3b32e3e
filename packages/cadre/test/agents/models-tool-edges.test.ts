/** Tools and answers at their edges: odd values, odd ids, large ones. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, type ModelOptions } from "cadre/agents";
import { scriptedModel, testTeam } from "cadre/testing";
import { fromRecord, toRecord } from "#src/agents/models/model-json.ts";

const Do = defineTask({ name: "do", output: type<unknown>(), maxAttempts: 3 });

test("numbers in typed arrays come back as what they were", () => {
  const values = [
    new Float32Array([0.5, -2]),
    new Float64Array([Math.PI]),
    new Int16Array([-3, 4]),
    new BigInt64Array([-5n]),
    new Uint8ClampedArray([255]),
    new Uint8Array([1, 2, 3]),
    new Float32Array(new Float32Array([9, 8, 7]).buffer, 4, 1),
  ];
  for (const value of values) {
    const back = fromRecord(JSON.parse(JSON.stringify(toRecord(value))));
    assert.deepEqual(back, value);
  }
  assert.deepEqual(fromRecord(toRecord(Buffer.from("abc"))), new Uint8Array([97, 98, 99]));
  assert.deepEqual(fromRecord(toRecord(new Uint8Array([7]).buffer)), new Uint8Array([7]));
  assert.deepEqual(fromRecord(toRecord(new DataView(new ArrayBuffer(2)))), new Uint8Array(2));
});

test("a value that is no JSON is no failure of its tool", async () => {
  const bench = testTeam();
  const circle: Record<string, unknown> = { name: "c" };
  circle["self"] = circle;
  const odd: readonly (readonly [unknown, (value: never) => unknown])[] = [
    [new Date(Number.NaN), (value: Date) => Number.isNaN(value.getTime())],
    [circle, (value: { name: string; self?: unknown }) => value.name === "c" && !value.self],
    [() => 1, (value) => value === undefined],
    [Symbol("x"), (value) => value === undefined],
    [{ at: Number.NEGATIVE_INFINITY, big: 10n ** 30n }, (value: { big: bigint }) => value.big > 1n],
    ["\u0000 \ud800", (value: string) => typeof value === "string"],
    [-0, (value) => value === 0],
    [
      new (class Poor {
        readonly a = 1;
      })(),
      (value: { a: number }) => value.a === 1,
    ],
    [{ ["__proto__"]: { x: 1 }, ["$cadre"]: "bytes" }, (value: { $cadre: string }) => value.$cadre],
  ];
  let calls = 0;
  const agent = defineAgent({ name: "doer" }).does(Do, async (_input, ctx) => {
    for (const [index, [value, fits]] of odd.entries()) {
      const tool = ctx.tool(`tool-${index}`, () => {
        calls += 1;
        return value;
      });
      const given = (await tool({ index, circle })) as never;
      if (!fits(given)) return `${index}: ${String(given)} in attempt ${ctx.attempt}`;
    }
    if (ctx.attempt === 1) throw new Error("again");
    return "all";
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Do, {});
  assert.equal(await bench.until(task.result()), "all");
  assert.equal(calls, odd.length);
  await bench.close();
});

test("what lies too deep is left out, and no failure", () => {
  const nest = (wrap: (value: unknown) => unknown): unknown => {
    let value: unknown = 1;
    for (let level = 0; level < 5_000; level += 1) value = wrap(value);
    return value;
  };
  const deep = [
    nest((value) => new Map([["a", value]])),
    nest((value) => new Set([value])),
    nest((value) => [value]),
    nest((value) => ({ value })),
    nest((cause) => new Error("x", { cause })),
  ];
  for (const value of deep) {
    const record = toRecord(value);
    assert.equal(typeof fromRecord(JSON.parse(JSON.stringify(record))), "object");
  }
});

test("a tool is called with ids of the model's and without, side by side", async () => {
  const bench = testTeam();
  const seen: string[] = [];
  const agent = defineAgent({ name: "doer" }).does(Do, async (_input, ctx) => {
    const look = ctx.tool("look", (what: string, { stepKey }) => {
      seen.push(stepKey);
      return what.toUpperCase();
    });
    const all = [
      await look("a"),
      await look("b", { toolCallId: "1" }),
      await look("c", { toolCallId: "2" }),
      await look("d"),
      await look("e", { toolCallId: "2" }),
    ];
    if (ctx.attempt === 1) throw new Error("again");
    return all.join("");
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Do, {}, { id: "t" });
  assert.equal(await bench.until(task.result()), "ABCDE");
  assert.equal(new Set(seen).size, 5);
  assert.equal(seen.length, 5);
  await bench.close();
});

test("an answer and a result of megabytes are paid for once", async () => {
  const bench = testTeam();
  const text = "x".repeat(3_000_000);
  const model = scriptedModel([{ text }]);
  let calls = 0;
  const agent = defineAgent({ name: "doer" }).does(Do, async (_input, ctx) => {
    const answer = await ctx.model(model).doGenerate({ prompt: [] });
    const { content } = answer as { readonly content: readonly [{ readonly text: string }] };
    const large = ctx.tool("large", () => {
      calls += 1;
      return { bytes: new Uint8Array(2_000_000).fill(7) };
    });
    const { bytes } = await large({});
    if (ctx.attempt === 1) throw new Error("again");
    return content[0].text.length + bytes.length;
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Do, {});
  assert.equal(await bench.until(task.result()), 5_000_000);
  assert.deepEqual([model.calls.length, calls], [1, 1]);
  await bench.close();
});

test("a model's name that another model has by its place is not given twice", async () => {
  const bench = testTeam({ strict: true });
  const asked: string[] = [];
  const agent = defineAgent({ name: "doer" }).does(Do, async (_input, ctx) => {
    const options: readonly (ModelOptions | undefined)[] = [
      { name: "model-2" },
      undefined,
      undefined,
    ];
    const models = options.map((own) => ctx.model(scriptedModel([{ text: "a" }]), own));
    for (const model of models) await model.doGenerate({ prompt: [] });
    return "done";
  });
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Do, {});
  assert.equal(await bench.until(task.result()), "done");
  for await (const { event } of bench.store.read({ type: "model.called" })) {
    asked.push((event.payload as { readonly step: string }).step);
  }
  assert.deepEqual(asked, ["model-2#1", "model#1", "model-3#1"]);
  await bench.close();
});
