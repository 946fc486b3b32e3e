/** Scripts that must not be fooled, and recordings of calls side by side. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { type } from "cadre";
import { defineAgent, defineTask, type LanguageModel } from "cadre/agents";
import { recordedModel, scriptedModel, testTeam, type ScriptedReply } from "cadre/testing";

const say = (text: string) => ({ prompt: [{ role: "user", content: [{ type: "text", text }] }] });

async function textOf(asked: PromiseLike<unknown>): Promise<string> {
  const { content } = (await asked) as { readonly content: readonly { readonly text: string }[] };
  return content[0]?.text ?? "";
}

test("a pattern that remembers where it was is asked anew for each call", async () => {
  const same = /cold/g;
  const model = scriptedModel(["a", "b", "c"].map((text) => ({ expect: same, text })));
  const all = [];
  for (let call = 0; call < 3; call += 1) {
    all.push(await textOf(model.doGenerate(say("very cold"))));
  }
  assert.deepEqual(all, ["a", "b", "c"]);
  model.assertDone();
});

test("an assertion in a script that fails is a difference, and uses up no other answer", async () => {
  const bench = testTeam();
  const expect: ScriptedReply["expect"] = ({ last }) => {
    assert.match(last, /Oslo/);
    return true;
  };
  const model = scriptedModel([{ expect, text: "cold" }, { text: "warm" }]);
  const Ask = defineTask({ name: "ask", output: type<string>() });
  const agent = defineAgent({ name: "asker" }).does(Ask, async (_input, ctx) =>
    textOf(ctx.model(model).doGenerate(say("Bergen?"))),
  );
  const team = await bench.start({ agents: [agent] });
  const task = await team.tasks.create(Ask, {});
  await assert.rejects(bench.until(task.result()), /not the script's[^]*Oslo/);
  assert.equal(model.calls.length, 1);
  assert.throws(() => model.assertDone(), /not the script's[^]*Oslo/);
  await bench.close();
});

test("a difference that was swallowed fails the test all the same", async () => {
  const model = scriptedModel([{ expect: "Oslo", text: "cold" }]);
  await model.doGenerate(say("Bergen?")).then(undefined, () => "warm");
  assert.throws(() => model.assertDone(), { code: "WRONG_STATE", message: /Oslo/ });
  const streamed = scriptedModel([{ expect: () => false, text: "cold" }]);
  await streamed.doStream(say("Bergen?")).then(undefined, () => "warm");
  assert.throws(() => streamed.assertDone(), { code: "WRONG_STATE" });
});

test("a call that has no prompt is a difference where one was expected", async () => {
  const model = scriptedModel([{ expect: "Oslo", text: "cold" }]);
  await assert.rejects(Promise.resolve(model.doGenerate({})), /not the script's/);
  assert.throws(() => model.assertDone(), { code: "WRONG_STATE" });
});

function recording(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "cadre-recording-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "deep", "answers.json");
}

test("calls side by side are recorded in the order in which they began", async (t) => {
  const file = recording(t);
  const waiting: (() => void)[] = [];
  const real = scriptedModel([{ text: "first" }, { text: "second" }]);
  const slow: LanguageModel = {
    ...real,
    doGenerate: async (call: never) => {
      const answer: unknown = await real.doGenerate(call);
      await new Promise<void>((resolve) => waiting.push(resolve));
      return answer;
    },
  };
  const both = (model: LanguageModel) =>
    Promise.all(["one", "two"].map((text) => textOf(model.doGenerate(say(text) as never))));
  const asked = both(recordedModel(slow, file));
  while (waiting.length < 2) await Promise.resolve();
  // The second one is answered first.
  waiting.pop()?.();
  await new Promise((resolve) => setImmediate(resolve));
  waiting.pop()?.();
  assert.deepEqual(await asked, ["first", "second"]);
  const again = recordedModel(slow, file, { mode: "replay" });
  assert.deepEqual(await both(again), ["first", "second"]);
});

test("a call that failed while it was recorded is not in the recording", async (t) => {
  const file = recording(t);
  const real = scriptedModel([{ error: new Error("busy") }, { text: "second" }]);
  const model = recordedModel(real, file);
  await assert.rejects(Promise.resolve(model.doGenerate(say("one"))), /busy/);
  assert.equal(await textOf(model.doGenerate(say("one"))), "second");
  assert.equal((JSON.parse(readFileSync(file, "utf8")) as unknown[]).length, 1);
  const again = recordedModel(real, file, { mode: "replay" });
  assert.equal(await textOf(again.doGenerate(say("one"))), "second");
});
