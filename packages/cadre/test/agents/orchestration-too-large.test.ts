import assert from "node:assert/strict";
import { test } from "node:test";
import { CadreError, type, type EventStore } from "cadre";
import { defineAgent, defineTask } from "cadre/agents";
import { testTeam } from "cadre/testing";
import { changed } from "../changed.ts";

const Make = defineTask({ name: "make", input: type<number>(), output: type<string>() });
const Use = defineTask({ name: "use", input: type<unknown>(), output: type<number>() });
const maxBytes = 100_000;

/** A store that takes no more than so much at once. */
function narrow(store: EventStore): EventStore {
  const commit: EventStore["commit"] = async (work) => {
    const bytes = JSON.stringify(work.appends ?? []).length;
    if (bytes <= maxBytes) return store.commit(work);
    throw new CadreError("TOO_LARGE", "It is too large.", { bytes, maxBytes });
  };
  return changed(store, { commit });
}

test("a task whose results are too large for its input blocks its feature, until it is patched", async () => {
  const bench = testTeam();
  const agent = defineAgent({ name: "maker", capacity: 4 })
    .does(Make, () => "x".repeat(60_000))
    .does(Use, () => 1);
  const team = await bench.start({ agents: [agent], store: narrow(bench.store) });
  const feature = await team.features.create({
    title: "much",
    id: "f",
    tasks: [
      { name: "one", definition: Make, input: 1 },
      { name: "two", definition: Make, input: 2 },
      { name: "all", definition: Use, input: {}, dependsOn: ["one", "two"] },
    ],
  });
  const end = await bench.until(feature.finished());
  assert.equal(end.status, "blocked");
  assert.equal(end.lacks, "plan");
  assert.match(end.reason ?? "", /its task f\.all can't be made: It is too large\. Patch/);
  await bench.clock.advance(60_000);
  let blocked = 0;
  for await (const { event } of bench.store.read({ stream: "feature/f" })) {
    if (event.type === "feature.blocked") blocked += 1;
  }
  assert.equal(blocked, 1, "it is said once");
  await feature.patch({ replace: [{ name: "all", dependsOn: ["one"] }] });
  assert.equal((await bench.until(feature.finished())).status, "completed");
  await bench.close();
});
